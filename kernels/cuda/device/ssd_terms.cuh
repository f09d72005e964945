// What a scan by state-space duality reads and writes.
#pragma once

#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/device/scan_carry.cuh"
#include "kernels/cuda/device/softplus.cuh"
#include "kernels/cuda/device/token_numbers.cuh"
#include "kernels/scan.h"

namespace gesso::cuda {

// Rows of numbers, one a token, for each head or group.
struct SsdRows {
  Numbers values;
  HeadStrides strides;
  int token;  // stride within a tile
  int size;   // of a row

  explicit SsdRows(ConstView view)
      : values(view),
        strides(view),
        token(static_cast<int>(view.strides[1])),
        size(static_cast<int>(view.shape[3])) {}
  // Whether they can be copied 16 bytes at a time to where numbers are of this type.
  bool InChunks(DType type) const {
    const auto whole = [&](int64_t count) { return values.BytesOf(count) % 16 == 0; };
    return values.type() == type && reinterpret_cast<uintptr_t>(values.data) % 16 == 0 &&
           whole(size) && whole(strides.picture) && whole(strides.token) && whole(strides.head);
  }
};

struct SsdTerms {
  ScanShape shape;  // channels are those of all heads
  SsdRows x, b, c;
  TokenNumbers dt;
  Numbers a, d, dt_bias, initial_state, final_state, out;
  int heads, head_dim;
  bool softplus;
  bool skip_each;  // d is [H, P], not [H]

  explicit SsdTerms(const SsdArgs& args)
      : x(args.x),
        b(args.b),
        c(args.c),
        dt(args.dt),
        a(args.a),
        d(args.d),
        dt_bias(args.dt_bias),
        initial_state(args.initial_state),
        final_state(args.final_state),
        out(args.out),
        heads(static_cast<int>(args.x.shape[2])),
        head_dim(static_cast<int>(args.x.shape[3])),
        softplus(args.dt_softplus),
        skip_each(args.d.shape.rank() == 2) {
    const Shape& s = args.x.shape;
    shape = {s[0], s[1], s[2] * s[3], args.b.shape[3], args.b.shape[2]};
  }

  GESSO_BOTH float Rate(int64_t, int64_t) const { return 1; }  // exponents have it
  GESSO_BOTH float Skip(int head, int channel) const {
    return d.GetOr(skip_each ? head * head_dim + channel : head, 0);
  }
};

// What a token does to the state: it is multiplied by 2^exponent, and x goes in times `step`.
struct SsdStep {
  float exponent, step;
};

// dt of a head as it lies in memory; it becomes a number where that is needed, as a thread that
// looks at what it has asked for waits for it.
struct SsdStepBits {
  uint32_t at;
  bool exists;

  GESSO_BOTH static SsdStepBits Ask(const SsdTerms& terms, int64_t picture, int token, int end,
                                    int head) {
    if (token >= end) return {0, false};
    const int64_t i = terms.dt.Index(picture, token, 0, head);
    const void* const from = terms.dt.values.data;
    if (terms.dt.values.bf16) return {static_cast<const uint16_t*>(from)[i], true};
    return {FloatToBits(static_cast<const float*>(from)[i]), true};
  }
  // 2^-1024 is 0, and sums of less would lose what matters; a NaN stays one.
  GESSO_BOTH SsdStep Step(const SsdTerms& terms, float bias, float rate) const {
    if (!exists) return {0, 0};
    const float number = BitsToFloat(terms.dt.values.bf16 ? at << 16 : at) + bias;
    const float step = terms.softplus ? Softplus(number) : number;
    const float exponent = step * rate;
    return {exponent < -1024 ? -1024 : exponent, terms.a.absent() ? 1 : step};
  }
};

// Exponents of tokens added up, as two numbers: differences of long sums must be exact.
struct alignas(8) SsdSum {
  float high, low;

  GESSO_BOTH static SsdSum Of(double value) {
    const auto high = static_cast<float>(value);
    return {high, static_cast<float>(value - high)};
  }
  GESSO_BOTH float Minus(const SsdSum& other) const {
    return (high - other.high) + (low - other.low);
  }
};

}  // namespace gesso::cuda
