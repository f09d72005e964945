// Vectors of e4m3 numbers (core/float8.h). Included once a Highway target.
#if defined(GESSO_KERNELS_CPU_FLOAT8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_FLOAT8_INL_H_
#undef GESSO_KERNELS_CPU_FLOAT8_INL_H_
#else
#define GESSO_KERNELS_CPU_FLOAT8_INL_H_
#endif

#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// The numbers that Lanes(F32) codes, none of them NaN, stand for: as binary16 with the same fields,
// which is 2^-8 of them. Its conversion keeps subnormal numbers whatever a thread takes for zero
// (flush_denormals.h).
HWY_INLINE VecF LoadE4M3(const uint8_t* codes) {
  const hn::Rebind<int16_t, F32> d16;
  const hn::Rebind<int8_t, F32> d8;
  const auto wide = hn::PromoteTo(d16, hn::LoadU(d8, reinterpret_cast<const int8_t*>(codes)));
  const auto fields = hn::AndNot(hn::Set(d16, 0x4000), hn::ShiftLeft<7>(wide));
  const auto half = hn::BitCast(hn::Rebind<hwy::float16_t, F32>(), fields);
  return hn::Mul(hn::PromoteTo(F32(), half), hn::Set(F32(), 256.0f));
}

// x as E4M3(x) rounds it.
HWY_INLINE VecF ToE4M3(VecF x) {
  const I32 d;
  // x86 gives the second operand of Min where one is NaN.
  const VecF magnitude = hn::Min(hn::Set(F32(), 448.0f), hn::Abs(x));
  const auto exponent = hn::And(hn::BitCast(d, magnitude), hn::Set(d, 0x7f800000));
  const auto step = hn::Sub(hn::Max(exponent, hn::Set(d, 121 << 23)), hn::Set(d, 3 << 23));
  const auto inverse = hn::Sub(hn::Set(d, 254 << 23), step);
  const VecF steps = hn::Round(hn::Mul(magnitude, hn::BitCast(F32(), inverse)));
  return hn::CopySign(hn::Mul(steps, hn::BitCast(F32(), step)), x);
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_FLOAT8_INL_H_
