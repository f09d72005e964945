// Selective scan and causal convolution of both directions, and their gradients. Tensors as in
// tools/train/selective_scan.py; outputs in the order in which its kernels return them.
#pragma once

#include <torch/extension.h>

#include <vector>

namespace gesso_train {

// y like u [2, B, L, E], and the states before each chunk of tokens. b and c may be parts of wider
// rows.
std::vector<torch::Tensor> ForwardScan(torch::Tensor u, torch::Tensor delta, torch::Tensor a,
                                       torch::Tensor b, torch::Tensor c, torch::Tensor d,
                                       torch::Tensor bias);
// Gradients of u, delta, a, b, c, d and bias; dy may be one tensor for both directions.
std::vector<torch::Tensor> BackwardScan(torch::Tensor u, torch::Tensor delta, torch::Tensor a,
                                        torch::Tensor b, torch::Tensor c, torch::Tensor d,
                                        torch::Tensor bias, torch::Tensor starts, torch::Tensor dy);

// y [2, B, L, E] of x [B, L, E].
torch::Tensor ForwardConv(torch::Tensor x, torch::Tensor weight, torch::Tensor bias);
// Gradients of x, weight and bias.
std::vector<torch::Tensor> BackwardConv(torch::Tensor x, torch::Tensor weight, torch::Tensor bias,
                                        torch::Tensor dy);

}  // namespace gesso_train
