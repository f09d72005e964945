// Vector arithmetic shared by the CPU kernels: loads and stores that convert to and from f32,
// exp, and the activations. Included once a Highway target by files that use foreach_target.h.

// The guard flips with each target that foreach_target.h compiles; #pragma once would not.
#if defined(GESSO_KERNELS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_MATH_INL_H_
#undef GESSO_KERNELS_CPU_MATH_INL_H_
#else
#define GESSO_KERNELS_CPU_MATH_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kernels/activation.h"
#include "kernels/core/dtype.h"

// Before a loop of constant length over registers.
#ifndef GESSO_UNROLL
#ifdef __clang__
#define GESSO_UNROLL _Pragma("unroll")
#else
#define GESSO_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;  // as many lanes as F32
using VecF = hn::Vec<F32>;

HWY_INLINE int64_t LanesF() { return static_cast<int64_t>(hn::Lanes(F32())); }

// Lanes(F32) elements at `from`, widened to f32.
HWY_INLINE VecF Load(const float* from) { return hn::LoadU(F32(), from); }
HWY_INLINE VecF Load(const BFloat16* from) {
  const auto bits = hn::LoadU(U16(), reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), bits)));
}

// f32 lanes as bf16 bits, rounded to nearest even; NaN stays NaN.
HWY_INLINE hn::Vec<U16> ToBF16Bits(VecF value) {
  const I32 di;
  const auto bits = hn::BitCast(U32(), value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(U32(), 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(U32(), 0x7fff)));
  const auto quiet = hn::Or(bits, hn::Set(U32(), 0x400000));
  const auto chosen = hn::IfThenElse(hn::RebindMask(U32(), hn::IsNaN(value)), quiet, rounded);
  return hn::DemoteTo(U16(), hn::BitCast(di, hn::ShiftRight<16>(chosen)));
}

HWY_INLINE void Store(VecF value, float* to) { hn::StoreU(value, F32(), to); }
HWY_INLINE void Store(VecF value, BFloat16* to) {
  hn::StoreU(ToBF16Bits(value), U16(), reinterpret_cast<uint16_t*>(to));
}

// The first `count` < Lanes(F32) elements, the other lanes 0; touches no memory behind them.
HWY_INLINE VecF LoadPart(const float* from, int64_t count) {
  return hn::MaskedLoad(hn::FirstN(F32(), static_cast<size_t>(count)), F32(), from);
}
HWY_INLINE VecF LoadPart(const BFloat16* from, int64_t count) {
  HWY_ALIGN BFloat16 part[HWY_LANES(float)] = {};
  std::memcpy(static_cast<void*>(part), from, static_cast<size_t>(count) * sizeof(BFloat16));
  return Load(part);
}
HWY_INLINE void StorePart(VecF value, float* to, int64_t count) {
  hn::BlendedStore(value, hn::FirstN(F32(), static_cast<size_t>(count)), F32(), to);
}
HWY_INLINE void StorePart(VecF value, BFloat16* to, int64_t count) {
  HWY_ALIGN BFloat16 part[HWY_LANES(float)];
  Store(value, part);
  std::memcpy(static_cast<void*>(to), part, static_cast<size_t>(count) * sizeof(BFloat16));
}

// e^x for x <= 88 (larger x give e^88), 0 below the smallest normal result, NaN for NaN; relative
// error < 2e-7.
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r is a minimax polynomial of degree 6.
HWY_INLINE VecF Exp(VecF x) {
  const F32 d;
  const auto lowest = hn::Set(d, -87.33654f);
  // x86 gives the second operand where one is NaN.
  const auto bounded = hn::Min(hn::Set(d, 88.0f), hn::Max(lowest, x));
  const auto n = hn::Round(hn::Mul(bounded, hn::Set(d, 1.44269504f)));
  // ln 2 in two parts, the first with few enough bits that n * it is exact.
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), bounded);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  auto tail = hn::MulAdd(hn::Set(d, 1.381460199e-03f), r, hn::Set(d, 8.368715204e-03f));
  tail = hn::MulAdd(tail, r, hn::Set(d, 4.166838789e-02f));
  tail = hn::MulAdd(tail, r, hn::Set(d, 1.666652065e-01f));
  tail = hn::MulAdd(tail, r, hn::Set(d, 4.999999345e-01f));
  const auto mantissa = hn::Add(hn::MulAdd(tail, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto exponent = hn::Add(hn::ConvertTo(I32(), n), hn::Set(I32(), 127));
  const auto power = hn::BitCast(d, hn::ShiftLeft<23>(exponent));
  return hn::IfThenZeroElse(hn::Lt(x, lowest), hn::Mul(mantissa, power));
}

// x Phi(x); error < 2e-7 |x|. Phi(x) - 1/2 = x R(x^2) with a rational minimax R of degrees 4 and
// 6, constant from |x| = 5.5 on, where it rounds to exactly +-1/2.
HWY_INLINE VecF GeluErf(VecF x) {
  const F32 d;
  const auto bounded = hn::Clamp(x, hn::Set(d, -5.5f), hn::Set(d, 5.5f));
  const auto u = hn::Mul(bounded, bounded);
  auto top = hn::MulAdd(hn::Set(d, 5.078250734e-06f), u, hn::Set(d, 1.554845371e-04f));
  top = hn::MulAdd(top, u, hn::Set(d, 4.534334357e-03f));
  top = hn::MulAdd(top, u, hn::Set(d, 3.324973426e-02f));
  top = hn::MulAdd(top, u, hn::Set(d, 3.989422703e-01f));
  auto bottom = hn::MulAdd(hn::Set(d, -1.783856404e-09f), u, hn::Set(d, 7.277432134e-07f));
  bottom = hn::MulAdd(bottom, u, hn::Set(d, 6.503805938e-05f));
  bottom = hn::MulAdd(bottom, u, hn::Set(d, 1.787108768e-03f));
  bottom = hn::MulAdd(bottom, u, hn::Set(d, 2.803547501e-02f));
  bottom = hn::MulAdd(bottom, u, hn::Set(d, 2.500109800e-01f));
  bottom = hn::MulAdd(bottom, u, hn::Set(d, 1.0f));
  const auto phi = hn::Add(hn::Div(hn::Mul(bounded, top), bottom), hn::Set(d, 0.5f));
  return hn::Mul(x, phi);
}

// x sigmoid(x)
HWY_INLINE VecF Silu(VecF x) {
  const F32 d;
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(hn::Neg(x))));
}

// 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
HWY_INLINE VecF GeluTanh(VecF x) {
  const F32 d;
  const auto cubic = hn::MulAdd(hn::Set(d, -0.07135481627f), hn::Mul(x, x),
                                hn::Set(d, -1.59576912161f));  // -2 sqrt(2 / pi) (0.044715, 1)
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(hn::Mul(x, cubic))));
}

template <Activation kActivation>
HWY_INLINE VecF Activate(VecF x) {
  if constexpr (kActivation == Activation::kGeluErf) {
    return GeluErf(x);
  } else if constexpr (kActivation == Activation::kGeluTanh) {
    return GeluTanh(x);
  } else if constexpr (kActivation == Activation::kSilu) {
    return Silu(x);
  } else if constexpr (kActivation == Activation::kRelu) {
    return hn::IfThenElse(hn::Lt(x, hn::Zero(F32())), hn::Zero(F32()), x);  // keeps NaN
  } else {
    return x;
  }
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_MATH_INL_H_
