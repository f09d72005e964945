// One element of each pointwise op.
#pragma once

#include "kernels/binary_code.h"
#include "kernels/cuda/device/norm.cuh"
#include "kernels/elementwise.h"
#include "kernels/pool.h"

namespace gesso::cuda {

struct LinearCombinationElement {
  static constexpr int kMost = 8;
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

  GESSO_BOTH void operator()(int64_t i) const { AddUp(i, 0); }
  GESSO_BOTH void AddUp(int64_t i, float noise) const {
    float sum = 0;
    float second = 0;
    for (int k = 0; k < count; ++k) {
      const float x = terms[k][i];
      sum += coefficients[k] * x;
      second += others[k] * x;
    }
    sum += noise;
    if (sum < low) sum = low;  // a NaN stays one
    if (sum > high) sum = high;
    out[i] = sum;
    if (also != nullptr) also[i] = second;
  }
};

struct GatedAddElement {
  Numbers residual, x, out;
  Modulation gate;
  int64_t rows, width;

  explicit GatedAddElement(const GatedAddArgs& args)
      : residual(args.residual),
        x(args.x),
        out(args.out),
        gate(args.gate, 1),
        rows(args.x.shape[1]),
        width(args.x.shape[2]) {}

  GESSO_BOTH void operator()(int64_t i) const {
    const float gained = gate.At(i / width / rows, i % width) * x.Get(i);
    out.Set(i, residual.GetOr(i, 0) + gained);
  }
};

// Without `value` the activation alone.
struct GluElement {
  Numbers value, gate, out;
  int64_t width, value_stride = 0, gate_stride, out_stride;
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

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t row = i / width;
    const int64_t f = i % width;
    out.Set(row * out_stride + f, value.GetOr(row * value_stride + f, 1) *
                                      Activated(activation, gate.Get(row * gate_stride + f)));
  }
};

// out = activation(product + bias) + residual, where the product could not take them along.
struct EpilogueElement {
  Numbers product, bias, residual, out;
  int64_t width = 0;
  Activation activation = Activation::kNone;

  GESSO_BOTH void operator()(int64_t i) const { Finish(i, product.Get(i)); }
  GESSO_BOTH void Finish(int64_t i, float sum) const {
    const float biased = sum + bias.GetOr(i % width, 0);
    out.Set(i, Activated(activation, biased) + residual.GetOr(i, 0));
  }
};

// Rows of memory in another element type.
struct ConvertElement {
  Numbers x, out;
  int64_t width, x_stride;

  GESSO_BOTH void operator()(int64_t i) const {
    out.Set(i, x.Get(i / width * x_stride + i % width));
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
  int64_t tokens, width;

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
