// The slow truth of kernels/gemm.h: double accumulation, one output at a time.
#pragma once

#include "kernels/gemm.h"

namespace gesso::ref {

void Linear(Context& ctx, const LinearArgs& args);
void LinearGlu(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::ref
