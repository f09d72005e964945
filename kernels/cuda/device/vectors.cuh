// Numbers that a thread reads and writes 16 bytes at a time: what memory needs to be used to the
// full by ops that do little else.
#pragma once

#include "kernels/cuda/device/numbers.cuh"

namespace gesso::cuda {

constexpr int kVector = 8;  // numbers in a row: 16 bytes of bfloat16, two times 16 of float32

// One number, or as many in a row as are read and written at once: bodies are written once for any.
template <int kCount>
struct Several {
  float at[kCount];
};
using Vector = Several<kVector>;

template <int kCount>
struct alignas(kCount < 4 ? 4 * kCount : 16) [[gnu::may_alias]] Words {
  uint32_t at[kCount];
};

// By instructions that write 8 or 16 bytes at once: a plain assignment may be taken apart.
template <int kCount>
GESSO_BOTH void WriteWords(void* to, const Words<kCount>& words) {
#ifdef __CUDA_ARCH__
  const uint32_t* const at = words.at;
  if constexpr (kCount == 1) {
    *static_cast<uint32_t*>(to) = at[0];
  } else if constexpr (kCount == 2) {
    __stcg(static_cast<uint2*>(to), make_uint2(at[0], at[1]));
  } else {
    GESSO_UNROLL for (int k = 0; k < kCount; k += 4) {
      __stcg(static_cast<uint4*>(to) + k / 4, make_uint4(at[k], at[k + 1], at[k + 2], at[k + 3]));
    }
  }
#else
  *static_cast<Words<kCount>*>(to) = words;
#endif
}

// Whether vectors may begin at `numbers` and at every `stride` from there on; absent ones may.
inline bool HasVectors(const void* numbers, int64_t stride = kVector) {
  return reinterpret_cast<uintptr_t>(numbers) % alignof(Words<4>) == 0 && stride % kVector == 0;
}
inline bool HasVectors(const Numbers& numbers, int64_t stride = kVector) {
  return HasVectors(numbers.data, stride);
}

template <int kCount>
GESSO_BOTH Several<kCount> AllOf(float value) {
  Several<kCount> all;
  GESSO_UNROLL for (int k = 0; k < kCount; ++k) all.at[k] = value;
  return all;
}

// Those of float32 from i on, a multiple of kCount: 1, 4 or kVector.
template <int kCount>
GESSO_BOTH Several<kCount> GetSeveral(const float* from, int64_t i) {
  Several<kCount> several;
  const auto words = *reinterpret_cast<const Words<kCount>*>(from + i);
  GESSO_UNROLL for (int k = 0; k < kCount; ++k) several.at[k] = BitsToFloat(words.at[k]);
  return several;
}
template <int kCount>
GESSO_BOTH void SetSeveral(float* to, int64_t i, const Several<kCount>& several) {
  Words<kCount> words;
  GESSO_UNROLL for (int k = 0; k < kCount; ++k) words.at[k] = FloatToBits(several.at[k]);
  WriteWords(to + i, words);
}

// Half `half` of a pair of bfloat16 numbers, or the float32 number `whole`. Bytes are picked
// without a branch, in the arms of which a compiler puts the reads as well, and then waits for
// each.
GESSO_BOTH float Unpacked(bool bf16, uint32_t pair, int half, uint32_t whole) {
#ifdef __CUDA_ARCH__
  const uint32_t bytes = !bf16 ? 0x7654 : half == 0 ? 0x1044 : 0x3244;
  return BitsToFloat(__byte_perm(pair, whole, bytes) & (bf16 ? 0xffff0000u : 0xffffffffu));
#else
  return BitsToFloat(!bf16 ? whole : half == 0 ? pair << 16 : pair & 0xffff0000u);
#endif
}

// Those from i on, a multiple of kCount: 1, 4 or kVector. Words are read before the type is looked
// at, so that a thread waits once for the reads of all its arguments.
template <int kCount>
GESSO_BOTH Several<kCount> GetSeveral(const Numbers& from, int64_t i) {
  if constexpr (kCount == 1) {
    return {{from.Get(i)}};
  } else {
    constexpr int kHalf = kCount / 2;
    const auto* const words = reinterpret_cast<const Words<kHalf>*>(
        static_cast<const char*>(from.data) + from.BytesOf(i));
    const Words<kHalf> first = words[0];
    const Words<kHalf> second = words[from.bf16 ? 0 : 1];
    Several<kCount> several;
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) {
      const uint32_t whole = (k < kHalf ? first : second).at[k % kHalf];
      several.at[k] = Unpacked(from.bf16, first.at[k / 2], k % 2, whole);
    }
    return several;
  }
}

// Absent ones are `without` everywhere.
template <int kCount>
GESSO_BOTH Several<kCount> GetSeveralOr(const Numbers& from, int64_t i, float without) {
  return from.absent() ? AllOf<kCount>(without) : GetSeveral<kCount>(from, i);
}

template <int kCount>
GESSO_BOTH void SetSeveral(const Numbers& to, int64_t i, const Several<kCount>& several) {
  if constexpr (kCount == 1) {
    to.Set(i, several.at[0]);
  } else if (to.bf16) {
    Words<kCount / 2> words;
    GESSO_UNROLL for (int k = 0; k < kCount / 2; ++k) {
      words.at[k] = PackBf16(several.at[2 * k], several.at[2 * k + 1]);
    }
    WriteWords(static_cast<uint16_t*>(to.data) + i, words);
  } else {
    SetSeveral(static_cast<float*>(to.data), i, several);
  }
}

template <int kCount>
GESSO_BOTH void ActivateAll(Activation activation, Several<kCount>& x) {
  ActivateBy(activation, [&](const auto& activated) {
    GESSO_UNROLL for (int k = 0; k < kCount; ++k) x.at[k] = activated(x.at[k]);
  });
}

// kNumbers elements of `Body` at once.
template <class Body>
struct VectorOf {
  Body body;

  GESSO_BOTH void operator()(int64_t i) const {
    body.template Run<Body::kNumbers>(i * Body::kNumbers);
  }
};

// Calls launch(count, body) for `count` elements of a body: by Body::kNumbers of them at once where
// it says that memory and widths allow that, else one by one.
template <class Body, class Launch>
void InVectors(int64_t count, const Body& body, const Launch& launch) {
  if (count % Body::kNumbers == 0 && body.TakesVectors()) {
    return launch(count / Body::kNumbers, VectorOf<Body>{body});
  }
  launch(count, body);
}

}  // namespace gesso::cuda
