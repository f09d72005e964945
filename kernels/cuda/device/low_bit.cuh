// Weights in few bits as the device keeps them, and products of a few rows with them.
#pragma once

#include "kernels/core/float8.h"
#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/low_bit.h"

namespace gesso::cuda {

// The weights of a matrix [N, K] in few bits, in rows of 32-bit words: four codes a word of 8 bits,
// eight of 4 bits (kernels/low_bit.h). Inputs and outputs are filled up with codes of zero: integer
// products of cuBLASLt ask for multiples of 4, and are faster with multiples of 16.
struct CodeRows {
  static constexpr int64_t kInputsMultiple = 16;
  static constexpr int64_t kOutputsMultiple = 16;

  const uint32_t* codes = nullptr;   // [N filled up, words]
  Numbers scale;                     // [N, groups], or [N] where inputs are rounded
  const uint8_t* factors = nullptr;  // [N, groups], kW4A8 alone
  int64_t rows = 0;                  // N
  int64_t inputs = 0;                // K
  int64_t padded = 0;                // K filled up
  int64_t groups = 0;
  bool four = false;    // 4 bits
  bool float8 = false;  // 8 bits that are an e4m3 number
  bool rounds = false;  // multiplied by rounded inputs

  GESSO_BOTH int PerWord() const { return four ? 8 : 4; }
  GESSO_BOTH int64_t Words() const { return padded / PerWord(); }
  // Of the codes in word `word` of row n: all are of one group.
  GESSO_BOTH int64_t GroupOf(int64_t n, int64_t word) const {
    return n * groups + word * PerWord() / kLowBitGroup;
  }
  GESSO_BOTH float ScaleOf(int64_t n, int64_t word) const {
    return scale.Get(rounds ? n : GroupOf(n, word));
  }
};

// Code i of a word.
GESSO_BOTH int CodeOf8(uint32_t word, int i) {
  return static_cast<int8_t>(static_cast<uint8_t>(word >> (8 * i)));
}
GESSO_BOTH int CodeOf4(uint32_t word, int i) {
  return static_cast<int>((word >> (4 * i)) & 15u) - 8;
}
GESSO_BOTH float NumberOf8(uint32_t word, int i) {
  E4M3 number;
  number.bits = static_cast<uint8_t>(word >> (8 * i));
  return static_cast<float>(number);
}

// The codes of a word as numbers without their scale.
struct Int8Codes {
  static constexpr int kPerWord = 4;
  GESSO_BOTH static float At(uint32_t word, int i) { return static_cast<float>(CodeOf8(word, i)); }
};
struct Int4Codes {
  static constexpr int kPerWord = 8;
  GESSO_BOTH static float At(uint32_t word, int i) { return static_cast<float>(CodeOf4(word, i)); }
};
struct Float8Codes {
  static constexpr int kPerWord = 4;
  GESSO_BOTH static float At(uint32_t word, int i) { return NumberOf8(word, i); }
};

// Numbers i .. i + 3, which may be read and written at once where `whole`: their address is a
// multiple of their size together.
struct Four {
  float values[4];

  GESSO_BOTH static Four Load(const Numbers& from, int64_t i, bool whole) {
    Four four;
    if (!whole) {
      for (int j = 0; j < 4; ++j) four.values[j] = from.Get(i + j);
    } else if (from.bf16) {
      uint32_t pairs[2];
      const void* const at = static_cast<const uint16_t*>(from.data) + i;
      memcpy(pairs, __builtin_assume_aligned(at, 8), 8);
      for (int j = 0; j < 2; ++j) {
        four.values[2 * j] = BitsToFloat(pairs[j] << 16);
        four.values[2 * j + 1] = BitsToFloat(pairs[j] & 0xffff0000u);
      }
    } else {
      const void* const at = static_cast<const float*>(from.data) + i;
      memcpy(four.values, __builtin_assume_aligned(at, 16), 16);
    }
    return four;
  }
  GESSO_BOTH void Store(const Numbers& to, int64_t i, bool whole) const {
    if (!whole) {
      for (int j = 0; j < 4; ++j) to.Set(i + j, values[j]);
    } else if (to.bf16) {
      uint32_t pairs[2];
      for (int j = 0; j < 2; ++j) {
        pairs[j] = RoundToBf16(values[2 * j]) |
                   static_cast<uint32_t>(RoundToBf16(values[2 * j + 1])) << 16;
      }
      void* const at = static_cast<uint16_t*>(to.data) + i;
      memcpy(__builtin_assume_aligned(at, 8), pairs, 8);
    } else {
      void* const at = static_cast<float*>(to.data) + i;
      memcpy(__builtin_assume_aligned(at, 16), values, 16);
    }
  }
};

// Writes the weights of outputs `first` and on as numbers [count, K]. i counts words.
struct DequantizeElement {
  CodeRows weight;
  int64_t first = 0;
  Numbers out;

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t row = i / weight.Words();
    const int64_t word = i % weight.Words();
    const int64_t n = first + row;
    const uint32_t codes = weight.codes[n * weight.Words() + word];
    const int64_t k = word * weight.PerWord();
    if (k >= weight.inputs) return;
    const float scale = weight.ScaleOf(n, word);
    for (int begin = 0; begin < weight.PerWord(); begin += 4) {
      Four four;
      for (int j = 0; j < 4; ++j) {
        const float number = weight.four     ? Int4Codes::At(codes, begin + j)
                             : weight.float8 ? Float8Codes::At(codes, begin + j)
                                             : Int8Codes::At(codes, begin + j);
        four.values[j] = number * scale;
      }
      const int64_t at = row * weight.inputs + k + begin;
      if (k + begin + 4 <= weight.inputs) {
        four.Store(out, at, weight.inputs % 4 == 0);
      } else {
        for (int j = 0; k + begin + j < weight.inputs; ++j) out.Set(at + j, four.values[j]);
      }
    }
  }
};

// Writes the weights of outputs `first` and on as 8-bit codes [count, K filled up]: those of 4 bits
// times their group's factor. i counts words of 4 bits.
struct WidenCodesElement {
  CodeRows weight;
  int64_t first = 0;
  uint32_t* out = nullptr;  // four codes a word

  GESSO_BOTH void operator()(int64_t i) const {
    const int64_t word = i % weight.Words();
    const int64_t n = first + i / weight.Words();
    const uint32_t codes = weight.codes[n * weight.Words() + word];
    const bool filled = n >= weight.rows || word * weight.PerWord() >= weight.inputs;
    const int factor = filled ? 0 : weight.factors[weight.GroupOf(n, word)];
    for (int half = 0; half < 2; ++half) {
      uint32_t wide = 0;
      for (int j = 0; j < 4; ++j) {
        const int code = CodeOf4(codes, 4 * half + j) * factor;
        wide |= static_cast<uint32_t>(static_cast<uint8_t>(static_cast<int8_t>(code))) << (8 * j);
      }
      out[2 * i + half] = wide;
    }
  }
};

// The products of one output with kRows rows of x at most, of which the weights are read once and
// never written out.
template <int kRows, class Code>
struct CodeDotRow {
  static constexpr int kPerWord = Code::kPerWord;
  CodeRows weight;
  Numbers x;  // rows from here on
  int64_t x_stride = 0;
  bool whole = false;  // four inputs of x lie at a multiple of their size
  int count = 0;       // rows of x, 1 .. kRows
  EpilogueElement epilogue;
  int64_t first = 0;  // of out: x's first row times N

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t n, const Lanes& lanes) const {
    float sums[kRows] = {};
    for (int64_t word = lanes.index(); word < weight.Words(); word += lanes.count()) {
      const int64_t k = word * kPerWord;
      if (k >= weight.inputs) break;
      const uint32_t codes = weight.codes[n * weight.Words() + word];
      const float scale = weight.ScaleOf(n, word);
      for (int r = 0; r < kRows; ++r) {
        if (r < count) sums[r] += scale * Dot(codes, r * x_stride, k);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      const float sum = lanes.Sum(sums[r]);
      if (lanes.index() == 0 && r < count) epilogue.Finish(first + r * weight.rows + n, sum);
    }
  }

 private:
  // Of a word's codes with the inputs from k on of the row that begins at `row`.
  GESSO_BOTH float Dot(uint32_t codes, int64_t row, int64_t k) const {
    float sum = 0;
    if (k + kPerWord <= weight.inputs) {
      for (int begin = 0; begin < kPerWord; begin += 4) {
        const Four four = Four::Load(x, row + k + begin, whole);
        for (int j = 0; j < 4; ++j) sum += Code::At(codes, begin + j) * four.values[j];
      }
    } else {
      for (int j = 0; k + j < weight.inputs; ++j) sum += Code::At(codes, j) * x.Get(row + k + j);
    }
    return sum;
  }
};

// Sums of products of codes as numbers: sum times the scales of x's row and of the output.
struct CodeSums {
  const int32_t* sums = nullptr;      // [M, stride], or null
  const float* float_sums = nullptr;  // the same of e4m3 numbers
  const float* row_scales = nullptr;  // [M]
  Numbers scale;                      // [N]
  int64_t stride = 0;                 // N filled up

  bool TakesVectors() const {
    return HasVectors(sums, stride) && HasVectors(float_sums, stride) && HasVectors(scale);
  }
  // Those of row m from output n on.
  template <int kCount>
  GESSO_BOTH Several<kCount> At(int64_t m, int64_t n) const {
    const bool floats = float_sums != nullptr;
    const void* const row = floats ? static_cast<const void*>(float_sums) : sums;
    const auto words = *reinterpret_cast<const Words<kCount>*>(static_cast<const char*>(row) +
                                                               (m * stride + n) * 4);
    auto several = GetSeveral<kCount>(scale, n);
    const float row_scale = row_scales[m];
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) {
      const uint32_t word = words.at[k];
      const float sum = floats ? BitsToFloat(word) : static_cast<float>(static_cast<int32_t>(word));
      several.at[k] = sum * (row_scale * several.at[k]);
    }
    return several;
  }
};

// i = m * N + n
struct CodeEpilogueElement {
  static constexpr int kNumbers = kVector;
  CodeSums product;
  EpilogueElement epilogue;  // without a product of its own

  bool TakesVectors() const { return product.TakesVectors() && epilogue.TakesVectors(); }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t m = i / epilogue.width;
    epilogue.FinishAll<kCount>(i, product.At<kCount>(m, i - m * epilogue.width));
  }
};

// i = m * F + f; values come first.
struct CodeGluElement {
  static constexpr int kNumbers = kVector;
  CodeSums product;
  Numbers out;
  Divisor features = 0;  // F
  Activation activation = Activation::kNone;

  bool TakesVectors() const {
    return features % kNumbers == 0 && product.TakesVectors() && HasVectors(out);
  }
  GESSO_BOTH void operator()(int64_t i) const { Run<1>(i); }
  template <int kCount>
  GESSO_BOTH void Run(int64_t i) const {
    const int64_t m = i / features;
    const int64_t f = i - m * features;
    const auto value = product.At<kCount>(m, f);
    auto gated = product.At<kCount>(m, features + f);
    ActivateAll(activation, gated);
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) gated.at[k] *= value.at[k];
    SetSeveral(out, i, gated);
  }
};

}  // namespace gesso::cuda
