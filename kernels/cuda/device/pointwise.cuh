// One element of each pointwise op.
#pragma once

#include <algorithm>

#include "kernels/binary_code.h"
#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/vectors.cuh"
#include "kernels/elementwise.h"
#include "kernels/pool.h"

namespace gesso::cuda {

// Bodies with kNumbers have Run<kCount>(i) for the kCount elements from i on, which lie in one row:
// one, or kNumbers where TakesVectors() (vectors.cuh).

struct LinearCombinationElement {
  static constexpr int kMost = 8;
  static constexpr int kNumbers = 4;
  float coefficients[kMost];
  float others[kMost];  // in the second sum
  const float* terms[kMost];
  int count = 0;
  float low, high;
  float* out;
  float* also;  // null: there is no second sum

  explicit LinearCombinationElement(const LinearCombinationArgs& args)
      : low(args.low),
        high(args.high),
        out(static_cast<float*>(args.out.data)),
        also(static_cast<float*>(args.also.data)) {
    for (const Term& term : args.terms) {
      coefficients[count] = term.coefficient;
      others[count] = term.also;
      terms[count++] = static_cast<const float*>(term.x.data);
    }
  }

  bool TakesVectors() const {
    return HasVectors(out) && HasVectors(also) &&
           std::all_of(terms, terms + count, [](const float* term) { return HasVectors(term); });
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    AddUp(i, AllOf<kCount>(0));
  }
  template <int kCount>
  GESSO_BOTH void AddUp(int64_t i, const Several<kCount>& noise) const {
    Several<kCount> x[kMost];  // all are on their way before the first is needed
    GESSO_UNROLL for (int k = 0; k < kMost; ++k) {
      x[k] = k < count ? GetSeveral<kCount>(terms[k], i) : AllOf<kCount>(0);
    }
    Several<kCount> sum = AllOf<kCount>(0);
    Several<kCount> second = AllOf<kCount>(0);
    GESSO_UNROLL for (int k = 0; k < kMost; ++k) {
      if (k >= count) break;
      GESSO_UNROLL for (int j = 0; j < kCount; ++j) {
        sum.at[j] += coefficients[k] * x[k].at[j];
        second.at[j] += others[k] * x[k].at[j];
      }
    }
    GESSO_UNROLL for (int j = 0; j < kCount; ++j) {
      float& bounded = sum.at[j] += noise.at[j];
      if (bounded < low) bounded = low;  // a NaN stays one
      if (bounded > high) bounded = high;
    }
    SetSeveral(out, i, sum);
    if (also != nullptr) SetSeveral(also, i, second);
  }
};

struct GatedAddElement {
  static constexpr int kNumbers = 4;
  const float* residual;  // or null
  const float* x;
  float* out;
  const float* gate;
  int64_t gate_stride;  // from picture to picture
  Divisor rows, width;

  explicit GatedAddElement(const GatedAddArgs& args)
      : residual(static_cast<const float*>(args.residual.data)),
        x(static_cast<const float*>(args.x.data)),
        out(static_cast<float*>(args.out.data)),
        gate(static_cast<const float*>(args.gate.data)),
        gate_stride(args.gate.shape.rank() == 2 ? args.gate.strides[0] : 0),
        rows(args.x.shape[1]),
        width(args.x.shape[2]) {}

  bool TakesVectors() const {
    return width % kNumbers == 0 && HasVectors(residual) && HasVectors(x) && HasVectors(out) &&
           HasVectors(gate, gate_stride);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t row = i / width;
    const int64_t gains = row / rows * gate_stride + (i - row * width);
    const auto gain = GetSeveral<kCount>(gate, gains);
    const auto from = GetSeveral<kCount>(x, i);
    auto sum = residual == nullptr ? AllOf<kCount>(0) : GetSeveral<kCount>(residual, i);
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) sum.at[k] += gain.at[k] * from.at[k];
    SetSeveral(out, i, sum);
  }
};

// Without `value` the activation alone.
struct GluElement {
  static constexpr int kNumbers = kVector;
  Numbers value, gate, out;
  Divisor width;
  int64_t value_stride = 0, gate_stride, out_stride;
  Activation activation;

  explicit GluElement(const GluArgs& args)
      : value(args.value),
        gate(args.gate),
        out(args.out),
        width(args.out.shape[1]),
        value_stride(args.value.strides[0]),
        gate_stride(args.gate.strides[0]),
        out_stride(args.out.strides[0]),
        activation(args.activation) {}
  explicit GluElement(const ActivateArgs& args)
      : gate(args.x),
        out(args.out),
        width(args.out.shape[1]),
        gate_stride(args.x.strides[0]),
        out_stride(args.out.strides[0]),
        activation(args.activation) {}

  bool TakesVectors() const {
    return width % kNumbers == 0 && HasVectors(value, value_stride) &&
           HasVectors(gate, gate_stride) && HasVectors(out, out_stride);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t row = i / width;
    const int64_t f = i - row * width;
    auto product = GetSeveral<kCount>(gate, row * gate_stride + f);
    const auto factor = GetSeveralOr<kCount>(value, row * value_stride + f, 1);
    ActivateAll(activation, product);
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) product.at[k] *= factor.at[k];
    SetSeveral(out, row * out_stride + f, product);
  }
};

// out = activation(product + bias) + residual, where the product could not take them along.
struct EpilogueElement {
  static constexpr int kNumbers = kVector;
  Numbers product, bias, residual, out;
  Divisor width;
  Activation activation = Activation::kNone;

  bool TakesVectors() const {
    return width % kNumbers == 0 && HasVectors(product) && HasVectors(bias) &&
           HasVectors(residual) && HasVectors(out);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    FinishAll(i, GetSeveral<kCount>(product, i));
  }
  GESSO_BOTH void Finish(int64_t i, float sum) const { FinishAll<1>(i, {{sum}}); }
  template <int kCount>
  GESSO_BOTH void FinishAll(int64_t i, Several<kCount> sum) const {
    const auto shift = GetSeveralOr<kCount>(bias, i % width, 0);
    const auto added = GetSeveralOr<kCount>(residual, i, 0);
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) sum.at[k] += shift.at[k];
    ActivateAll(activation, sum);
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) sum.at[k] += added.at[k];
    SetSeveral(out, i, sum);
  }
};

// Rows of memory in another element type.
struct ConvertElement {
  static constexpr int kNumbers = kVector;
  Numbers x, out;
  Divisor width;
  int64_t x_stride;

  bool TakesVectors() const {
    return width % kNumbers == 0 && HasVectors(x, x_stride) && HasVectors(out);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t row = i / width;
    SetSeveral(out, i, GetSeveral<kCount>(x, row * x_stride + (i - row * width)));
  }
};

// x in float32 as the sum of two bfloat16 numbers, to 2^-17 of it. What bfloat16 rounds to
// infinity, and NaN, are the second number, which is not the difference of infinities then.
struct SplitElement {
  static constexpr int kNumbers = kVector;
  Numbers x, first, second;
  Divisor width;
  int64_t x_stride;

  bool TakesVectors() const {
    return width % kNumbers == 0 && HasVectors(x, x_stride) && HasVectors(first) &&
           HasVectors(second);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const float largest = BitsToFloat(0x7f7f8000u);  // and above: infinity
    const int64_t row = i / width;
    const auto values = GetSeveral<kCount>(x, row * x_stride + (i - row * width));
    Several<kCount> high, low;
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) {
      const float value = values.at[k];
      high.at[k] = fabsf(value) < largest ? BitsToFloat(uint32_t{RoundToBf16(value)} << 16) : 0;
      low.at[k] = value - high.at[k];
    }
    SetSeveral(first, i, high);
    SetSeveral(second, i, low);
  }
};

struct SignBitElement {
  const float* x;
  uint8_t* bits;

  explicit SignBitElement(const SignBitsArgs& args)
      : x(static_cast<const float*>(args.x.data)), bits(static_cast<uint8_t*>(args.bits.data)) {}
  GESSO_BOTH void operator()(int64_t i) const { bits[i] = x[i] > 0 ? 1 : 0; }
};

struct BitCodeElement {
  const uint8_t* bits;
  float* codes;
  float magnitude;

  explicit BitCodeElement(const BitCodesArgs& args)
      : bits(static_cast<const uint8_t*>(args.bits.data)),
        codes(static_cast<float*>(args.codes.data)),
        magnitude(args.magnitude) {}
  GESSO_BOTH void operator()(int64_t i) const { codes[i] = bits[i] != 0 ? magnitude : -magnitude; }
};

// i = b * D + d
struct MaskedMeanElement {
  const float* x;
  const int32_t* mask;
  float* out;
  int64_t tokens;
  Divisor width;

  explicit MaskedMeanElement(const MaskedMeanArgs& args)
      : x(static_cast<const float*>(args.x.data)),
        mask(static_cast<const int32_t*>(args.mask.data)),
        out(static_cast<float*>(args.out.data)),
        tokens(args.x.shape[1]),
        width(args.x.shape[2]) {}

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t b = i / width;
    float sum = 0;
    int64_t count = 0;
    for (int64_t t = 0; t < tokens; ++t) {
      if (mask[b * tokens + t] == 0) continue;
      sum += x[(b * tokens + t) * width + i % width];
      ++count;
    }
    out[i] = count == 0 ? 0 : sum / static_cast<float>(count);
  }
};

}  // namespace gesso::cuda
