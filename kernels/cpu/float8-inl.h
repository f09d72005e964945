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

// The numbers that codes (one a lane, 0 .. 255, none of them NaN) stand for. By no subnormal number
// on the way, which a thread may take for zero (flush_denormals.h).
HWY_INLINE VecF FromE4M3(hn::Vec<I32> code) {
  const I32 d;
  const auto magnitude = hn::ShiftLeft<20>(hn::And(code, hn::Set(d, 0x7f)));
  const auto sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(d, 0x80)));
  const auto normal = hn::BitCast(F32(), hn::Add(magnitude, hn::Set(d, 120 << 23)));
  // 2^-6 and a mantissa, less 2^-6.
  const auto above = hn::BitCast(F32(), hn::Add(magnitude, hn::Set(d, 121 << 23)));
  const VecF small = hn::Sub(above, hn::Set(F32(), 0x1p-6f));
  const auto is_small = hn::RebindMask(F32(), hn::Lt(magnitude, hn::Set(d, 1 << 23)));
  return hn::Or(hn::IfThenElse(is_small, small, normal), hn::BitCast(F32(), sign));
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
