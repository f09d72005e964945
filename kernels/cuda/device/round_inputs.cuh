// Inputs of products of codes, rounded to 8 bits a row at a time: read number by number, or made by
// lanes in registers, as the inputs lie or as a norm makes them.
#pragma once

#include "kernels/core/float8.h"
#include "kernels/cuda/device/quads.cuh"

namespace gesso::cuda {

// To the nearest integer from -127 to 127, ties to even: in the lowest 8 bits. NaN counts as 127.
GESSO_BOTH uint32_t IntegerCode(float value) {
  return FloatToBits(fmaxf(fminf(value, 127), -127) + 0x1.8p23f) & 0xffu;  // a sum of no fractions
}

// The codes of four numbers, the first in the lowest bits.
GESSO_BOTH uint32_t IntegerWord(const float (&values)[kQuad]) {
  uint32_t word = 0;
  GESSO_UNROLL for (int k = 0; k < kQuad; ++k) word |= IntegerCode(values[k]) << (8 * k);
  return word;
}
GESSO_BOTH uint32_t Float8Word(const float (&values)[kQuad]) {
  uint32_t word = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  GESSO_UNROLL for (int k = 0; k < kQuad; k += 2) {
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;"
        : "=h"(pair)
        : "f"(values[k + 1]), "f"(values[k]));
    word |= static_cast<uint32_t>(pair) << (8 * k);
  }
#else
  GESSO_UNROLL for (int k = 0; k < kQuad; ++k) {
    word |= static_cast<uint32_t>(E4M3(values[k]).bits) << (8 * k);
  }
#endif
  return word;
}

// What numbers are multiplied by to be divided by their scale.
GESSO_BOTH float InverseOf(float scale) { return scale > 0 ? 1 / scale : 0; }

// How rows of inputs are rounded, and where codes and scales go. Behind a row's codes are those of
// zero.
struct RoundedRows {
  uint8_t* codes = nullptr;  // [rows, K filled up]
  float* scales = nullptr;   // [rows]
  int64_t width = 0;         // K
  int64_t padded = 0;        // K filled up, a multiple of 16
  bool float8 = false;       // e4m3 numbers, else integers
  float input_scale = 0;  // of all rows, for integers; 0: each has its own, of its largest number
  int64_t hadamard = 1;   // see LowBitMatrix
  float* rotated = nullptr;  // [rows, K], where rotated

  // most(): the largest number of the row; NaN counts as none.
  template <class Most>
  GESSO_BOTH float ScaleOf(const Most& most) const {
    if (input_scale > 0) return input_scale;
    const float largest = most();
    return float8 ? E4M3Scale(largest) : largest / 127;
  }
  GESSO_BOTH uint8_t CodeOf(float value) const {
    return float8 ? E4M3(value).bits : static_cast<uint8_t>(IntegerCode(value));
  }

  // Rounds row `row`, of which the lane has `numbers`; what is not of the row may be 0 or NaN.
  template <int kQuads, class Lanes>
  GESSO_BOTH void Round(int64_t row, const Lanes& lanes, const QuadPlaces& places,
                        Quads<kQuads>& numbers) const {
    const float scale = ScaleOf([&] {
      float most = 0;
      numbers.ForEach([&](float number, int, int) { most = fmaxf(most, fabsf(number)); });
      return lanes.Max(most);
    });
    const float inverse = InverseOf(scale);
    numbers.ForEach([&](float& number, int, int) { number *= inverse; });
    uint32_t words[kQuads];
    if (float8) {
      GESSO_UNROLL for (int i = 0; i < kQuads; ++i) words[i] = Float8Word(numbers.at[i]);
    } else {
      GESSO_UNROLL for (int i = 0; i < kQuads; ++i) words[i] = IntegerWord(numbers.at[i]);
    }
    auto* const to = reinterpret_cast<uint32_t*>(codes + row * padded);
    GESSO_UNROLL for (int i = 0; i < kQuads; ++i) {  // lanes have places for all that is filled up
      if (places.At(i) < padded) to[places.At(i) / kQuad] = places.Has(i) ? words[i] : 0;
    }
    if (lanes.index() == 0) scales[row] = scale;
  }
};

// A row read number by number, rotated where the weights are. A block a row.
struct RoundInputsRow {
  Numbers x;
  int64_t x_stride = 0;
  RoundedRows to;

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    if (to.hadamard > 1) Rotate(row, lanes);
    const float scale = to.ScaleOf([&] {
      float most = 0;
      for (int64_t k = lanes.index(); k < to.width; k += lanes.count()) {
        most = fmaxf(most, fabsf(At(row, k)));
      }
      return lanes.Max(most);
    });
    const float inverse = InverseOf(scale);
    for (int64_t k = lanes.index(); k < to.padded; k += lanes.count()) {
      to.codes[row * to.padded + k] = to.CodeOf(k < to.width ? At(row, k) * inverse : 0);
    }
    if (lanes.index() == 0) to.scales[row] = scale;
  }

 private:
  GESSO_BOTH float At(int64_t row, int64_t k) const {
    return to.hadamard > 1 ? to.rotated[row * to.width + k] : x.Get(row * x_stride + k);
  }
  template <class Lanes>
  GESSO_BOTH void Rotate(int64_t row, const Lanes& lanes) const {
    float* const turned = to.rotated + row * to.width;
    const float norm = 1 / sqrtf(static_cast<float>(to.hadamard));
    for (int64_t k = lanes.index(); k < to.width; k += lanes.count()) {
      turned[k] = x.Get(row * x_stride + k) * norm;
    }
    lanes.Sync();
    for (int64_t half = 1; half < to.hadamard; half *= 2) {
      for (int64_t i = lanes.index(); i < to.width / 2; i += lanes.count()) {
        float* const low = turned + i / half * 2 * half + i % half;
        const float a = low[0];
        const float b = low[half];
        low[0] = a + b;
        low[half] = a - b;
      }
      lanes.Sync();
    }
  }
};

// Rows of x, as lanes hold them.
template <int kQuads>
struct InputQuads {
  Numbers x;
  int64_t stride;

  template <class Lanes>
  GESSO_BOTH Quads<kQuads> RowOf(int64_t row, const Lanes&, const QuadPlaces& places) const {
    return GetQuads<kQuads>(x, row * stride, places);
  }
};

// Rows that lanes make in registers, rounded: Source is InputQuads or a norm (norm.cuh).
template <class Source>
struct RoundQuads {
  Source source;
  RoundedRows to;

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const QuadPlaces places(lanes, to.width);
    auto numbers = source.RowOf(row, lanes, places);
    to.Round(row, lanes, places, numbers);
  }
};

// A row of inputs as the numbers that its codes of e4m3 stand for. A block a row.
struct RoundToFloat8Row {
  Numbers x;
  int64_t x_stride = 0;
  int64_t width = 0;  // K
  Numbers out;        // [rows, K]

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    float most = 0;  // NaN counts as none
    for (int64_t k = lanes.index(); k < width; k += lanes.count()) {
      most = fmaxf(most, fabsf(x.Get(row * x_stride + k)));
    }
    const float scale = E4M3Scale(lanes.Max(most));
    const float inverse = InverseOf(scale);
    for (int64_t k = lanes.index(); k < width; k += lanes.count()) {
      const E4M3 code(x.Get(row * x_stride + k) * inverse);
      out.Set(row * width + k, static_cast<float>(code) * scale);
    }
  }
};

}  // namespace gesso::cuda
