// Rows that lanes share out by four numbers at a time and keep in registers: memory is read once,
// and all of a lane's reads are on their way together. Four numbers rather than the eight of
// vectors.cuh: then neighbouring lanes read neighbouring bytes of float32 too, and a head or a
// group of 64 numbers keeps 8 lanes busy.
#pragma once

#include <type_traits>

#include "kernels/cuda/device/fragments.cuh"

namespace gesso::cuda {

constexpr int kQuad = 4;
constexpr int64_t kMostInQuads = 8192;  // numbers of a row

// Whether quads may begin at `numbers` and at every `stride` from there on; absent ones may.
inline bool HasQuads(const Numbers& numbers, int64_t stride = kQuad) {
  const uintptr_t bytes = kQuad * (numbers.bf16 ? sizeof(uint16_t) : sizeof(float));
  return reinterpret_cast<uintptr_t>(numbers.data) % bytes == 0 && stride % kQuad == 0;
}

// Which quads of a row of `size` numbers a lane has: every count-th from its own on.
struct QuadPlaces {
  int first, step, size;

  template <class Lanes>
  GESSO_BOTH QuadPlaces(const Lanes& lanes, int64_t row_size)
      : first(lanes.index() * kQuad),
        step(lanes.count() * kQuad),
        size(static_cast<int>(row_size)) {}
  GESSO_BOTH QuadPlaces(int first_number, int between, int64_t end)
      : first(first_number), step(between), size(static_cast<int>(end)) {}
  GESSO_BOTH int At(int i) const { return first + i * step; }
  GESSO_BOTH bool Has(int i) const { return At(i) < size; }
};

// What a lane has of a row: kQuads of them, zeros where there are fewer.
template <int kQuads>
struct Quads {
  float at[kQuads][kQuad];

  // body(number, i, k): number k of quad i.
  template <class Body>
  GESSO_BOTH void ForEach(const Body& body) {
    GESSO_UNROLL for (int i = 0; i < kQuads; ++i) {
      GESSO_UNROLL for (int k = 0; k < kQuad; ++k) body(at[i][k], i, k);
    }
  }
};

struct alignas(16) FloatQuad {
  float at[kQuad];

  GESSO_BOTH float Get(int k) const { return at[k]; }
  GESSO_BOTH void Set(const float (&from)[kQuad]) {
    GESSO_UNROLL for (int k = 0; k < kQuad; ++k) at[k] = from[k];
  }
};

struct alignas(8) Bf16Quad {
  uint32_t words[kQuad / 2];

  GESSO_BOTH float Get(int k) const {
    return BitsToFloat(k % 2 == 0 ? words[k / 2] << 16 : words[k / 2] & 0xffff0000u);
  }
  GESSO_BOTH void Set(const float (&from)[kQuad]) {
    GESSO_UNROLL for (int k = 0; k < kQuad; k += 2) words[k / 2] = PackBf16(from[k], from[k + 1]);
  }
};

// Where quad i of a lane lies: one address of its own and steps that are often known to the
// compiler.
template <class Quad, class Byte, class Places>
GESSO_BOTH auto* QuadAt(Byte* data, int64_t begin, const Places& places, int i) {
  constexpr int kBytes = sizeof(Quad) / kQuad;  // of a number
  using Result = std::conditional_t<std::is_const_v<Byte>, const Quad, Quad>;
  Byte* const first = data + (begin + places.At(0)) * kBytes;
  return reinterpret_cast<Result*>(first + int64_t{places.At(i) - places.At(0)} * kBytes);
}

// All reads before the first number is looked at, so that none waits for another.
template <class Quad, int kQuads, class Places>
GESSO_BOTH void ReadQuads(const void* data, int64_t begin, const Places& places,
                          Quads<kQuads>& to) {
  const auto* const bytes = static_cast<const char*>(data);
  Quad bits[kQuads];
  GESSO_UNROLL for (int i = 0; i < kQuads; ++i) {
    bits[i] = places.Has(i) ? *QuadAt<Quad>(bytes, begin, places, i) : Quad{};
  }
  GESSO_UNROLL for (int i = 0; i < kQuads; ++i) {
    GESSO_UNROLL for (int k = 0; k < kQuad; ++k) to.at[i][k] = bits[i].Get(k);
  }
}

// Those at `begin` + places.At(i), multiples of kQuad.
template <int kQuads, class Places>
GESSO_BOTH Quads<kQuads> GetQuads(const Numbers& from, int64_t begin, const Places& places) {
  Quads<kQuads> quads;
  if (from.bf16) {  // out here: a branch at each read would make it wait for the one before
    ReadQuads<Bf16Quad>(from.data, begin, places, quads);
  } else {
    ReadQuads<FloatQuad>(from.data, begin, places, quads);
  }
  return quads;
}

// The same of float32 numbers; absent ones are `without` everywhere.
template <int kQuads, class Places>
GESSO_BOTH Quads<kQuads> GetFloatQuadsOr(const Numbers& from, int64_t begin, const Places& places,
                                         float without) {
  Quads<kQuads> quads;
  if (from.absent()) {
    GESSO_UNROLL for (int i = 0; i < kQuads; ++i) {
      GESSO_UNROLL for (int k = 0; k < kQuad; ++k) quads.at[i][k] = without;
    }
  } else {
    ReadQuads<FloatQuad>(from.data, begin, places, quads);
  }
  return quads;
}

template <class Quad, int kQuads, class Places>
GESSO_BOTH void WriteQuads(void* data, int64_t begin, const Places& places,
                           const Quads<kQuads>& from) {
  auto* const bytes = static_cast<char*>(data);
  Quad bits[kQuads];
  GESSO_UNROLL for (int i = 0; i < kQuads; ++i) bits[i].Set(from.at[i]);
  GESSO_UNROLL for (int i = 0; i < kQuads; ++i) {
    if (places.Has(i)) *QuadAt<Quad>(bytes, begin, places, i) = bits[i];
  }
}

template <int kQuads, class Places>
GESSO_BOTH void SetQuads(const Numbers& to, int64_t begin, const Places& places,
                         const Quads<kQuads>& from) {
  if (to.bf16) {
    WriteQuads<Bf16Quad>(to.data, begin, places, from);
  } else {
    WriteQuads<FloatQuad>(to.data, begin, places, from);
  }
}

// 1 / sqrt(x), on the GPU without a division.
GESSO_BOTH float InverseRoot(float x) {
#ifdef __CUDA_ARCH__
  return rsqrtf(x);
#else
  return 1 / sqrtf(x);
#endif
}

}  // namespace gesso::cuda
