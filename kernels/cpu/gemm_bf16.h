// Products in bfloat16 with float32 sums, for CPUs that gain from it: by AMX's tiles, or by
// AVX512-BF16's vectors.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/gemm.h"

namespace gesso::cpu {

// Whether the CPU multiplies bfloat16 faster than float32: with AMX, or with AVX512-BF16 if it is
// not Intel's, whose cores issue vdpbf16ps at half the rate of a float32 multiply-add.
bool GainsFromBF16();

// weight [N, K] f32, bf16 or f16.
PackedMatrix PackBF16(ConstView weight);

// The reason to refuse weights that are not from PackBF16, or a CPU without the instructions.
std::optional<std::string_view> WhyNotAmx(const PackedMatrix& weight);
std::optional<std::string_view> WhyNotAvx512BF16(const PackedMatrix& weight);

void LinearAmx(Context& ctx, const LinearArgs& args);
void LinearGluAmx(Context& ctx, const LinearGluArgs& args);
void LinearAvx512BF16(Context& ctx, const LinearArgs& args);
void LinearGluAvx512BF16(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
