// Elements as kernels see them. Everything here runs on host and device, so that tests reach the
// arithmetic of a kernel without a GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/activation.h"
#include "kernels/core/tensor.h"

// Also in a build without CUDA.
#ifdef __CUDACC__
#define GESSO_BOTH __host__ __device__ inline
#else
#define GESSO_BOTH inline
#endif

#ifdef __CUDA_ARCH__
#define GESSO_UNROLL _Pragma("unroll")
#else
#define GESSO_UNROLL
#endif

namespace gesso::cuda {

GESSO_BOTH float BitsToFloat(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

GESSO_BOTH uint32_t FloatToBits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// What stands where nothing can: a NaN, which the host finds in a result.
constexpr float kNoNumber = __builtin_nanf("");

// As BFloat16(value): to the nearest, ties to even, NaN stays NaN.
GESSO_BOTH uint16_t RoundToBf16(float value) {
  const uint32_t bits = FloatToBits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Two numbers in bfloat16, the first in the lower half.
GESSO_BOTH uint32_t PackBf16(float low, float high) {
#ifdef __CUDA_ARCH__
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  return RoundToBf16(low) | static_cast<uint32_t>(RoundToBf16(high)) << 16;
#endif
}

// Memory of float32 or bfloat16 numbers; null where an optional argument is absent. The type is the
// same for a whole launch, so the branch costs nothing beside the access.
struct Numbers {
  void* data = nullptr;
  bool bf16 = false;

  Numbers() = default;
  explicit Numbers(ConstView view)
      : data(const_cast<void*>(view.data)),  // NOLINT: written through only where out was passed
        bf16(view.dtype == DType::kBF16) {}

  DType type() const { return bf16 ? DType::kBF16 : DType::kF32; }
  GESSO_BOTH int64_t BytesOf(int64_t count) const { return count * (bf16 ? 2 : 4); }
  // Those from number i on; absent ones stay absent.
  Numbers From(int64_t i) const {
    Numbers rest = *this;
    if (data != nullptr) rest.data = static_cast<char*>(data) + BytesOf(i);
    return rest;
  }
  GESSO_BOTH bool absent() const { return data == nullptr; }
  GESSO_BOTH float Get(int64_t i) const {
    if (!bf16) return static_cast<const float*>(data)[i];
    return BitsToFloat(static_cast<uint32_t>(static_cast<const uint16_t*>(data)[i]) << 16);
  }
  GESSO_BOTH float GetOr(int64_t i, float without) const { return absent() ? without : Get(i); }
  GESSO_BOTH void Set(int64_t i, float value) const {
    if (bf16) {
      static_cast<uint16_t*>(data)[i] = RoundToBf16(value);
    } else {
      static_cast<float*>(data)[i] = value;
    }
  }
};

GESSO_BOTH float Activated(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluErf:
      return 0.5f * x * erfcf(-x * 0.70710678118654752f);
    case Activation::kGeluTanh:
      return 0.5f * x * (1 + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case Activation::kSilu:
#ifdef __CUDA_ARCH__
      return __fdividef(x, 1 + __expf(-x));  // off by 2^-20 or so
#else
      return x / (1 + expf(-x));
#endif
    case Activation::kRelu:
      return x < 0 ? 0 : x;  // keeps NaN
  }
  return x;
}

template <Activation kActivation>
struct ActivatedBy {
  GESSO_BOTH float operator()(float x) const { return Activated(kActivation, x); }
};

// body(activated), where activated(x) is Activated(activation, x): one look at the kind for all the
// numbers that body goes through. Not called where they stay as they are.
template <class Body>
GESSO_BOTH void ActivateBy(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kGeluErf:
      return body(ActivatedBy<Activation::kGeluErf>());
    case Activation::kGeluTanh:
      return body(ActivatedBy<Activation::kGeluTanh>());
    case Activation::kSilu:
      return body(ActivatedBy<Activation::kSilu>());
    case Activation::kRelu:
      return body(ActivatedBy<Activation::kRelu>());
  }
}

}  // namespace gesso::cuda
