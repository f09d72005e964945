#include "kernels/cpu/elementwise.h"

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

template <int kTerms>
void CombineTerms(const LinearCombinationArgs& args, int64_t begin, int64_t end) {
  const F32 d;
  const int64_t lanes = LanesF();
  const float* x[kTerms];
  float coefficients[kTerms];
  for (size_t t = 0; t < kTerms; ++t) {
    x[t] = args.terms[t].x.Data<float>();
    coefficients[t] = args.terms[t].coefficient;
  }
  const auto low = hn::Set(d, args.low);
  const auto high = hn::Set(d, args.high);
  float* out = args.out.Data<float>();
  const auto combine = [&](const auto& load) HWY_ATTR {
    auto sum = hn::Mul(hn::Set(d, coefficients[0]), load(x[0]));
    for (int t = 1; t < kTerms; ++t) {
      sum = hn::MulAdd(hn::Set(d, coefficients[t]), load(x[t]), sum);
    }
    return hn::Min(high, hn::Max(low, sum));  // in this order a NaN stays one
  };
  int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    Store(combine([&](const float* from) HWY_ATTR { return Load(from + i); }), out + i);
  }
  if (const int64_t rest = end - i; rest > 0) {
    const auto part = [&](const float* from) HWY_ATTR { return LoadPart(from + i, rest); };
    StorePart(combine(part), out + i, rest);
  }
}

void CombineRange(const LinearCombinationArgs& args, int64_t begin, int64_t end) {
  using Combine = void (*)(const LinearCombinationArgs&, int64_t, int64_t);
  constexpr Combine kByTerms[] = {CombineTerms<1>, CombineTerms<2>, CombineTerms<3>,
                                  CombineTerms<4>, CombineTerms<5>, CombineTerms<6>,
                                  CombineTerms<7>, CombineTerms<8>};
  kByTerms[args.terms.size() - 1](args, begin, end);
}

// out = residual + gate * x over one row; `residual` may be null.
void GatedRow(const float* residual, const float* x, const float* gate, int64_t count, float* out) {
  const int64_t lanes = LanesF();
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto before = residual == nullptr ? hn::Zero(F32()) : Load(residual + i);
    Store(hn::MulAdd(Load(gate + i), Load(x + i), before), out + i);
  }
  if (const int64_t rest = count - i; rest > 0) {
    const auto before = residual == nullptr ? hn::Zero(F32()) : LoadPart(residual + i, rest);
    StorePart(hn::MulAdd(LoadPart(gate + i, rest), LoadPart(x + i, rest), before), out + i, rest);
  }
}

void GatedAddRows(const GatedAddArgs& args, int64_t begin, int64_t end) {
  const Shape& s = args.x.shape;
  const float* residual = args.residual.empty() ? nullptr : args.residual.Data<float>();
  for (int64_t row = begin; row < end; ++row) {
    const int64_t b = args.gate.shape.rank() == 2 ? row / s[1] : 0;
    GatedRow(residual == nullptr ? nullptr : residual + row * s[2],
             args.x.Data<float>() + row * s[2], args.gate.Data<float>() + b * args.gate.strides[0],
             s[2], args.out.Data<float>() + row * s[2]);
  }
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(CombineRange);
HWY_EXPORT(GatedAddRows);

void LinearCombination(Context&, const LinearCombinationArgs& args) {
  constexpr int64_t kElementsATask = 16384;
  ParallelRange(args.out.numel(), kElementsATask, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(CombineRange)(args, begin, end);
  });
}

void GatedAdd(Context&, const GatedAddArgs& args) {
  const Shape& s = args.x.shape;
  ParallelRange(s[0] * s[1], RowsATask(s[2]), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GatedAddRows)(args, begin, end);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
