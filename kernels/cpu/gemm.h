// Products on the CPU.
#pragma once

#include "kernels/gemm.h"

namespace gesso::cpu {

DType ActivationDType(DType dtype);
PackedMatrix PackMatrix(ConstView weight, DType dtype);
void Linear(Context& ctx, const LinearArgs& args);
void LinearGlu(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
