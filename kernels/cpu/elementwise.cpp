#include "kernels/cpu/elementwise.h"

#include <algorithm>
#include <array>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

template <int kTerms, bool kAlso>
void CombineTerms(const LinearCombinationArgs& args, int64_t begin, int64_t end) {
  const F32 d;
  const int64_t lanes = LanesF();
  const float* x[kTerms];
  float coefficients[kTerms];
  float others[kTerms];
  for (size_t t = 0; t < kTerms; ++t) {
    x[t] = args.terms[t].x.Data<float>();
    coefficients[t] = args.terms[t].coefficient;
    others[t] = args.terms[t].also;
  }
  const auto low = hn::Set(d, args.low);
  const auto high = hn::Set(d, args.high);
  float* out = args.out.Data<float>();
  float* also = kAlso ? args.also.Data<float>() : nullptr;
  const auto add_up = [&](const auto& load, const float* by) HWY_ATTR {
    auto sum = hn::Mul(hn::Set(d, by[0]), load(x[0]));
    for (int t = 1; t < kTerms; ++t) sum = hn::MulAdd(hn::Set(d, by[t]), load(x[t]), sum);
    return sum;
  };
  const auto combine = [&](const auto& load, const auto& store) HWY_ATTR {
    const auto sum = add_up(load, coefficients);
    if constexpr (kAlso) store(add_up(load, others), also);  // before out, which may be a term
    store(hn::Min(high, hn::Max(low, sum)), out);            // in this order a NaN stays one
  };
  int64_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    combine([&](const float* from) HWY_ATTR { return Load(from + i); },
            [&](const auto& value, float* to) HWY_ATTR { Store(value, to + i); });
  }
  if (const int64_t rest = end - i; rest > 0) {
    combine([&](const float* from) HWY_ATTR { return LoadPart(from + i, rest); },
            [&](const auto& value, float* to) HWY_ATTR { StorePart(value, to + i, rest); });
  }
}

template <bool kAlso>
void CombineRangeOf(const LinearCombinationArgs& args, int64_t begin, int64_t end) {
  using Combine = void (*)(const LinearCombinationArgs&, int64_t, int64_t);
  constexpr Combine kByTerms[] = {
      CombineTerms<1, kAlso>, CombineTerms<2, kAlso>, CombineTerms<3, kAlso>,
      CombineTerms<4, kAlso>, CombineTerms<5, kAlso>, CombineTerms<6, kAlso>,
      CombineTerms<7, kAlso>, CombineTerms<8, kAlso>, CombineTerms<9, kAlso>};
  kByTerms[args.terms.size() - 1](args, begin, end);
}

// Up to 9 terms, noise among them.
void CombineRange(const LinearCombinationArgs& args, int64_t begin, int64_t end) {
  (args.also.empty() ? CombineRangeOf<false> : CombineRangeOf<true>)(args, begin, end);
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

namespace {

// Elements first .. first + count - 1 as a tensor of their own.
template <class AnyView>
AnyView Part(const AnyView& x, int64_t first, int64_t count) {
  return x.empty() ? x : AnyView(x.template Data<float>() + first, {count}, DType::kF32);
}

// The noise goes in as one more term, drawn a few numbers at a time.
void CombineWithNoise(const LinearCombinationArgs& args) {
  constexpr int64_t kNumbers = 2048;  // even: normal numbers come in pairs
  const int64_t size = args.out.numel() / args.out.shape[0];
  const int64_t parts = (size + kNumbers - 1) / kNumbers;
  ParallelFor(args.out.shape[0] * parts, [&](int64_t task) {
    const int64_t picture = task / parts;
    const int64_t begin = task % parts * kNumbers;
    const int64_t count = std::min(kNumbers, size - begin);
    std::array<float, kNumbers> noise;
    SumNormals(args.noise.seeds[static_cast<size_t>(picture)], args.noise.streams,
               static_cast<uint64_t>(begin / 2),
               std::span(noise).first(static_cast<size_t>(count)));
    std::array<Term, 9> terms;
    size_t used = 0;
    const int64_t first = picture * size + begin;
    for (const Term& term : args.terms) {
      terms[used++] = {term.coefficient, Part(term.x, first, count), term.also};
    }
    terms[used++] = {args.noise.coefficient, ConstView(noise.data(), {count}, DType::kF32)};
    const LinearCombinationArgs part = {.terms = std::span(terms).first(used),
                                        .low = args.low,
                                        .high = args.high,
                                        .out = Part(args.out, first, count),
                                        .also = Part(args.also, first, count)};
    HWY_DYNAMIC_DISPATCH(CombineRange)(part, 0, count);
  });
}

}  // namespace

void LinearCombination(Context&, const LinearCombinationArgs& args) {
  if (!args.noise.seeds.empty()) return CombineWithNoise(args);
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
