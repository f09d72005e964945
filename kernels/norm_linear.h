// A norm and the product that is the only one to read its result. Where a product rounds its
// inputs, a device may round them as the norm makes them: then the norm's result is never written.
#pragma once

#include <variant>

#include "kernels/gemm.h"
#include "kernels/norm.h"

namespace gesso {

using NormArgs = std::variant<RmsNormArgs, LayerNormArgs>;
using ProductArgs = std::variant<LinearArgs, LinearGluArgs>;
// The ops that these are arguments of.
void Norm(Context& ctx, const NormArgs& args);
void Multiply(Context& ctx, const ProductArgs& args);

// The product's x is the norm's out, the same memory in rows of the same length. What it holds
// afterwards is open.
struct NormLinearArgs {
  NormArgs norm;
  ProductArgs product;
};
// One op where the device has it, else the ops rms_norm or layer_norm and linear or linear_glu.
// Those two also run where an implementation of either is forced, unless one of norm_linear itself
// is; and wherever a tap looks on, whatever is forced: it sees what the product reads. A device's
// one op gives the bits of its two, but for a norm's out in bfloat16, to which it rounds nothing.
void NormLinear(Context& ctx, const NormLinearArgs& args);

// Of the one op: there is none for a CPU but ref.
const OpTable<NormLinearArgs>& NormLinearTable();

}  // namespace gesso
