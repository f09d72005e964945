// What the scans of state-space models share: 2^x, softplus, rows in either direction, and states
// in and out of registers. Included once a Highway target, like math-inl.h.
#if defined(GESSO_KERNELS_CPU_SCAN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_SCAN_INL_H_
#undef GESSO_KERNELS_CPU_SCAN_INL_H_
#else
#define GESSO_KERNELS_CPU_SCAN_INL_H_
#endif

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/highway.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// 2^x; relative error < 2e-7 for x in [-126, 127]. Larger x may give infinity, smaller ones a value
// up to 2^-126; NaN for NaN. x = n + r with |r| <= 1/2; 2^r is a minimax polynomial of degree 5.
HWY_INLINE VecF Exp2(VecF x) {
  const F32 d;
  const auto polynomial = [d](VecF r) HWY_ATTR {
    auto p = hn::MulAdd(hn::Set(d, 1.326472725e-03f), r, hn::Set(d, 9.671512786e-03f));
    p = hn::MulAdd(p, r, hn::Set(d, 5.550733744e-02f));
    p = hn::MulAdd(p, r, hn::Set(d, 2.402224208e-01f));
    p = hn::MulAdd(p, r, hn::Set(d, 6.931469776e-01f));
    return hn::MulAdd(p, r, hn::Set(d, 1.0f));
  };
#if HWY_TARGET == HWY_AVX3
  // Highway has no name for these two, which take any x.
  const VecF r{_mm512_reduce_ps(x.raw, 0)};
  return VecF{_mm512_scalef_ps(polynomial(r).raw, hn::Sub(x, r).raw)};
#else
  // x86 gives the second operand where one is NaN.
  const auto bounded = hn::Min(hn::Set(d, 128.0f), hn::Max(hn::Set(d, -126.0f), x));
  const auto shifter = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: its last bit counts ones
  const auto shifted = hn::Add(bounded, shifter);
  const auto p = polynomial(hn::Sub(bounded, hn::Sub(shifted, shifter)));
  const auto exponent = hn::Add(hn::BitCast(I32(), shifted), hn::Set(I32(), 127));
  return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
#endif
}

// 1 / x for normal x; relative error < 2e-7. A division of vectors takes as long as 30 additions.
HWY_INLINE VecF Reciprocal(VecF x) {
  const auto estimate = hn::ApproximateReciprocal(x);
  return hn::Mul(estimate, hn::NegMulAdd(x, estimate, hn::Set(F32(), 2.0f)));
}

// e^-|x|; relative error < (2 + |x|) 1e-7.
HWY_INLINE VecF ExpOfMinusAbs(VecF x) {
  const auto bounded = hn::Min(hn::Abs(x), hn::Set(F32(), 80.0f));
  return Exp2(hn::Mul(bounded, hn::Set(F32(), -1.44269504f)));
}

// log(1 + e^x); relative error < (5 + |x|) 1e-7.
// log(1 + y) = 2 artanh(s) with s = y / (2 + y); artanh(s) / s - 1 = s^2 P(s^2).
HWY_INLINE VecF Softplus(VecF x) {
  const F32 d;
  const auto y = ExpOfMinusAbs(x);
  const auto s = hn::Mul(y, Reciprocal(hn::Add(hn::Set(d, 2.0f), y)));
  const auto q = hn::Mul(s, s);
  auto p = hn::MulAdd(hn::Set(d, 1.400599603e-01f), q, hn::Set(d, 1.400090215e-01f));
  p = hn::MulAdd(p, q, hn::Set(d, 2.001076365e-01f));
  p = hn::MulAdd(p, q, hn::Set(d, 3.333320814e-01f));
  p = hn::MulAdd(p, q, hn::Set(d, 1.0f));
  return hn::MulAdd(hn::Add(s, s), p, hn::Max(hn::Zero(d), x));
}

// x sigmoid(x), as Silu, in half the time; error < (5 + |x|) 1e-7 of it.
// sigmoid(x) = 1 / (1 + y) for x >= 0 and y / (1 + y) below, y = e^-|x|.
HWY_INLINE VecF FastSilu(VecF x) {
  const F32 d;
  const auto y = ExpOfMinusAbs(x);
  const auto top = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(x, y), x);
  return hn::Mul(top, Reciprocal(hn::Add(hn::Set(d, 1.0f), y)));
}

// Rows of one picture in the order in which a scan reads them, from some channel on.
class Rows {
 public:
  Rows() = default;
  // `view` [B, L, ...] with contiguous last dimension; `offset` elements into each row.
  Rows(ConstView view, int64_t b, int64_t offset, bool backward)
      : is_bf16_(view.dtype == DType::kBF16),
        stride_(backward ? -view.strides[1] : view.strides[1]),
        start_(cpu::At(view, b * view.strides[0] + offset +
                                 (backward ? (view.shape[1] - 1) * view.strides[1] : 0))) {}

  bool empty() const { return start_ == nullptr; }

  // Lanes(F32) elements of row t from column c on, or the `left` that there are and zeros.
  HWY_INLINE VecF At(int64_t t, int64_t c, int64_t left) const {
    const int64_t index = t * stride_ + c;
    if (is_bf16_) {
      const auto* from = static_cast<const BFloat16*>(start_) + index;
      return left >= LanesF() ? Load(from) : LoadPart(from, left);
    }
    const auto* from = static_cast<const float*>(start_) + index;
    return left >= LanesF() ? Load(from) : LoadPart(from, left);
  }

  // Asks for the cache line of element c of row t to be brought to the L2 cache.
  HWY_INLINE void Prefetch(int64_t t, int64_t c) const {
    const int64_t bytes = (t * stride_ + c) * (is_bf16_ ? 2 : 4);
    __builtin_prefetch(static_cast<const std::byte*>(start_) + bytes, 0, 2);
  }

  // Columns 0 .. count - 1 of `rows` rows from row t on, each row `width` floats in `to`, of which
  // only whole vectors over `count` are written.
  HWY_INLINE void Read(int64_t t, int64_t rows, int64_t count, int64_t width, float* to) const {
    const int64_t lanes = LanesF();
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < count; c += lanes) {
        const auto values = At(t + i, c, count - c);
        float* row = to + i * width + c;
        width - c >= lanes ? Store(values, row) : StorePart(values, row, width - c);
      }
    }
  }

 private:
  bool is_bf16_ = false;
  int64_t stride_ = 0;
  const void* start_ = nullptr;
};

// A vector of channels' rows [count, states] of `from` times `factor` become [padded, stride], a
// channel a lane; zeros where there is no channel or state. `buffer` holds Lanes(F32) rows of
// `padded` rounded up to whole vectors.
HWY_INLINE void StatesToLanes(const float* from, int64_t count, int64_t states, float factor,
                              int64_t padded, float* buffer, float* to, int64_t stride) {
  const auto zero = hn::Zero(F32());
  const int64_t written = from == nullptr ? 0 : (states + 3) / 4 * 4;
  for (int64_t n = written; n < padded; ++n) Store(zero, to + n * stride);
  if (from == nullptr) return;
  TransposeTokens(from, states, std::min(count, LanesF()), states, factor, buffer, to, stride);
}

// The way back: [states, stride] to the rows [count, states] of `to`.
HWY_INLINE void LanesToStates(const float* from, int64_t stride, int64_t count, int64_t states,
                              float* to) {
  const int64_t lanes = LanesF();
  int64_t n = 0;
  if (count >= lanes) {
    for (; n + lanes <= states; n += lanes) {
      TransposeRows(from + n * stride, stride, lanes, 1, to + n, states);
    }
  }
  for (; n < states; ++n) {
    for (int64_t i = 0; i < std::min(count, lanes); ++i) to[i * states + n] = from[n * stride + i];
  }
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_SCAN_INL_H_
