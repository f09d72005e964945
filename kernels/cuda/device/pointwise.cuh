// One element of each pointwise op.
#pragma once

#include "kernels/cuda/device/norm.cuh"
#include "kernels/elementwise.h"

namespace gesso::cuda {

struct LinearCombinationElement {
  static constexpr int kMost = 8;
  float coefficients[kMost];
  const float* terms[kMost];
  int count = 0;
  float low, high;
  float* out;

  explicit LinearCombinationElement(const LinearCombinationArgs& args)
      : low(args.low), high(args.high), out(static_cast<float*>(args.out.data)) {
    for (const Term& term : args.terms) {
      coefficients[count] = term.coefficient;
      terms[count++] = static_cast<const float*>(term.x.data);
    }
  }

  GESSO_BOTH void operator()(int64_t i) const {
    float sum = 0;
    for (int k = 0; k < count; ++k) sum += coefficients[k] * terms[k][i];
    if (sum < low) sum = low;  // a NaN stays one
    if (sum > high) sum = high;
    out[i] = sum;
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
  int64_t width;
  Activation activation;

  GESSO_BOTH void operator()(int64_t i) const {
    const float sum = product.Get(i) + bias.GetOr(i % width, 0);
    out.Set(i, Activated(activation, sum) + residual.GetOr(i, 0));
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

}  // namespace gesso::cuda
