// Products in bfloat16 with float32 sums, for CPUs that gain from it, through oneDNN.
#pragma once

#include <optional>
#include <string>

#include "kernels/gemm.h"

namespace gesso::cpu {

// Whether the CPU multiplies bfloat16 faster than float32: with AMX, or with AVX512-BF16 if it is
// not Intel's, whose cores issue vdpbf16ps at half the rate of a float32 multiply-add.
bool GainsFromBF16();
// Whether oneDNN can multiply bfloat16 at all on this CPU.
bool MultipliesBF16();

// weight [N, K] f32, bf16 or f16.
PackedMatrix PackBF16(ConstView weight);

// The reason to refuse weights that are not from PackBF16.
std::optional<std::string> WhyNotBF16(const PackedMatrix& weight);
void LinearBF16(Context& ctx, const LinearArgs& args);
void LinearGluBF16(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
