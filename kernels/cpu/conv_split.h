// Convolutions in float32 by AMX's tiles for bfloat16, each factor in two parts (split-inl.h).
#pragma once

#include <mutex>
#include <optional>
#include <string_view>

#include "kernels/conv.h"
#include "kernels/gemm.h"

namespace gesso::cpu {

// Of the implementation in the op's table.
constexpr std::string_view kSplitName = "amx_split";

constexpr int64_t kMostTaps = 49;  // KH * KW

struct SplitConv final : PackedKernel::Storage {
  Shape shape;          // [O, I, KH, KW]
  PackedMatrix matrix;  // [O, KH * KW * I], split, each I padded to kPairDepth with zeros
  Tensor whole;         // of small kernels, as it is: for maps of few pixels
  void Unpack(float* weight) const override;
  // `whole` packed for oneDNN, which most programs never start, when it is first asked for.
  const PackedKernel& PackedWhole(const Conv2dShape& conv) const;

 private:
  mutable std::once_flag is_packed_;
  mutable PackedKernel packed_whole_;
};

// Whether such convolutions take this kernel [O, I, KH, KW] here: they step by one pixel, over
// enough channels to fill the tiles, and no other implementation is forced.
bool SplitsKernel(const Shape& kernel, const Conv2dShape& conv);

// weight [O, I, KH, KW] f32, bf16 or f16, one that SplitsKernel takes.
PackedKernel PackSplitKernel(ConstView weight, const Conv2dShape& conv);

// The reason to refuse a kernel that is not from PackSplitKernel, or a CPU without the
// instructions.
std::optional<std::string_view> WhyNotSplitConv(const Conv2dArgs& args);

void Conv2dSplit(Context& ctx, const Conv2dArgs& args);

}  // namespace gesso::cpu
