// Inputs of products with e4m3 weights, rounded to e4m3 row by row.
#include <algorithm>

#include "kernels/core/float8.h"
#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/low_bit.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/float8_rows.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/float8-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int kLanes = HWY_LANES(float);

// to[k] = x[k] rounded to a multiple of the row's scale that e4m3 has.
template <class In>
void RoundRow(const In* x, int64_t count, BFloat16* to) {
  const int64_t whole = count / kLanes * kLanes;
  VecF most = hn::Zero(F32());  // NaN counts as none
  for (int64_t k = 0; k < whole; k += kLanes) most = hn::Max(hn::Abs(Load(x + k)), most);
  if (whole < count) most = hn::Max(hn::Abs(LoadPart(x + whole, count - whole)), most);
  const float one_scale = E4M3Scale(hn::GetLane(hn::MaxOfLanes(F32(), most)));
  const VecF scale = hn::Set(F32(), one_scale);
  const VecF inverse = hn::Set(F32(), one_scale > 0 ? 1 / one_scale : 0);
  const auto round = [&](VecF value)
                         HWY_ATTR { return hn::Mul(ToE4M3(hn::Mul(value, inverse)), scale); };
  for (int64_t k = 0; k < whole; k += kLanes) Store(round(Load(x + k)), to + k);
  if (whole == count) return;
  StorePart(round(LoadPart(x + whole, count - whole)), to + whole, count - whole);
}

void RoundRows(ConstView x, int64_t stride, int64_t width, BFloat16* to) {
  const int64_t rows = x.numel() / width;
  ParallelRange(rows, cpu::RowsATask(width), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (x.dtype == DType::kBF16) {
        RoundRow(static_cast<const BFloat16*>(x.data) + row * stride, width, to + row * width);
      } else {
        RoundRow(static_cast<const float*>(x.data) + row * stride, width, to + row * width);
      }
    }
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RoundRows);

namespace {

template <class Args>
Args Rounded(Args args, int64_t stride) {
  const auto& panels = static_cast<const LowBitPanels&>(args.weight->storage());
  if (panels.type != LowBit::kF8A8) return args;
  const int64_t rows = args.x.numel() / panels.cols;
  const int64_t floats = (rows * panels.cols + 1) / 2;
  auto* const to = reinterpret_cast<BFloat16*>(Scratch(floats, ScratchUse::kCodes).Take(floats));
  HWY_DYNAMIC_DISPATCH(RoundRows)(args.x, stride, panels.cols, to);
  args.x = ConstView(to, {rows, panels.cols}, DType::kBF16);
  return args;
}

}  // namespace

LinearArgs WithRoundedInputs(const LinearArgs& args) {
  const int64_t cols = args.weight->cols();
  return Rounded(args, args.x.shape.rank() == 2 ? args.x.strides[0] : cols);
}

LinearGluArgs WithRoundedInputs(const LinearGluArgs& args) {
  return Rounded(args, args.weight->cols());
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
