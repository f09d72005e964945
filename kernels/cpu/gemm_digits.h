// Products in float32 by AMX's tiles for 8-bit integers, each factor in three digits (digits.h).
#pragma once

#include <optional>
#include <string_view>

#include "kernels/gemm.h"

namespace gesso::cpu {

// Of the implementations in the ops' tables.
constexpr std::string_view kDigitsName = "amx_digits";

// Whether float32 weights with K inputs are packed in digits here: the CPU has the instructions,
// and no other implementation of linear and linear_glu is forced.
bool TakesDigits(int64_t inputs);

// weight [N, K] f32, bf16 or f16, K <= kMostDigitInputs.
PackedMatrix PackDigits(ConstView weight);

// The reason to refuse weights that are not from PackDigits, or a CPU without the instructions.
std::optional<std::string_view> WhyNotDigits(const PackedMatrix& weight);

void LinearDigits(Context& ctx, const LinearArgs& args);
void LinearGluDigits(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
