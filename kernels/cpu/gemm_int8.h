// Products of 8-bit integers, with weights as packed by kernels/cpu/low_bit.h and inputs rounded
// row by row: by AMX's tiles, by AVX512-VNNI, or by the multiply-adds of 16 bits that every CPU
// with AVX2 has. All three give the same bits.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/gemm.h"

namespace gesso::cpu {

// The reason to refuse weights that are not for integer products, or a CPU without the
// instructions.
std::optional<std::string_view> WhyNotInt8Amx(const PackedMatrix& weight);
std::optional<std::string_view> WhyNotInt8Vnni(const PackedMatrix& weight);
std::optional<std::string_view> WhyNotInt8(const PackedMatrix& weight);

void LinearInt8Amx(Context& ctx, const LinearArgs& args);
void LinearGluInt8Amx(Context& ctx, const LinearGluArgs& args);
void LinearInt8Vnni(Context& ctx, const LinearArgs& args);
void LinearGluInt8Vnni(Context& ctx, const LinearGluArgs& args);
void LinearInt8(Context& ctx, const LinearArgs& args);
void LinearGluInt8(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
