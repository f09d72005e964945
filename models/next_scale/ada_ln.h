// The adaLN modulations of all blocks and of the head, functions of the conditioning vector alone:
// computed once for all scales of a picture.
//
// Official: FoundationVision/VAR models/basic_var.py:AdaLNSelfAttn.ada_lin, ada_gss,
// AdaLNBeforeHead; models/var.py:SharedAdaLin.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/nn/linear.h"

namespace gesso::next_scale {

class AdaLayerNorms {
 public:
  // `blocks` = prefixes of the blocks' names ("blocks.0."), `chunks` = rows of width `width` a
  // block has. Shared: one linear layer for all blocks, and a learned offset a block.
  AdaLayerNorms(int64_t width, int64_t chunks, bool shared, std::vector<std::string> blocks);

  // Not shared: ada_lin.1.{weight, bias} of each block. Shared: shared_ada_lin.1.{weight, bias}
  // and ada_gss [1, 1, chunks, C] of each block. head_nm.ada_lin.1.{weight, bias} in any case.
  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix);

  // From cond [R, C] f32: blocks [depth, R, chunks * C] f32, and head [R, 2C] f32 (scale, shift).
  void Forward(Context& ctx, ConstView cond, View blocks, View head) const;

 private:
  int64_t width_;
  int64_t chunks_;
  std::vector<std::string> names_;
  std::vector<nn::Linear> linears_;  // of each block, or the shared one
  std::vector<Tensor> offsets_;      // shared: of each block
  nn::Linear head_;
};

}  // namespace gesso::next_scale
