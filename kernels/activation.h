// Pointwise nonlinearities, alone and as the gated pair of GEGLU / SwiGLU.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

enum class Activation {
  kNone,
  kGeluErf,   // x * Phi(x), exact
  kGeluTanh,  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  kSilu,      // x * sigmoid(x)
  kRelu,
};

// out = value * activation(gate), Shazeer 2020, "GLU Variants Improve Transformer".
struct GluArgs {
  ConstView value;  // [R, F] f32 or bf16; rows contiguous, row stride free
  ConstView gate;   // like value
  Activation activation = Activation::kGeluErf;
  View out;  // [R, F] f32 or bf16; may be `value` or `gate`
};
void Glu(Context& ctx, const GluArgs& args);

// out = activation(x), where no product could take it along.
struct ActivateArgs {
  ConstView x;  // [R, F] f32 or bf16; rows contiguous, row stride free
  Activation activation = Activation::kSilu;
  View out;  // [R, F] f32 or bf16; may be x
};
void Activate(Context& ctx, const ActivateArgs& args);

const OpTable<GluArgs>& GluTable();
const OpTable<ActivateArgs>& ActivateTable();

}  // namespace gesso
