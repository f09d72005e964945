// What the CPU kernels of training share: rows of float32 or bfloat16, 16 channels at a time.
//
// Rows are widened to float32 in buffers whose channels are padded to whole vectors. Compiled where
// it runs, by torch.utils.cpp_extension (selective_scan_cpu.py).
#pragma once

#include <torch/extension.h>

#include <cstdint>

namespace gesso_train {

constexpr int64_t kLanes = 16;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t IntLanes __attribute__((vector_size(kLanes * sizeof(int32_t))));

struct Half {
  uint16_t bits;  // of a bfloat16
};

inline float Widen(float x) { return x; }
inline float Widen(Half x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float out;
  __builtin_memcpy(&out, &bits, sizeof out);
  return out;
}
inline void Narrow(float x, float& out) { out = x; }
inline void Narrow(float x, Half& out) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  out.bits = static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

inline int64_t Padded(int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// Rows of `channels` values, widened or narrowed.
template <class T>
void Read(const T* row, int64_t channels, float* out) {
#pragma omp simd
  for (int64_t e = 0; e < channels; ++e) out[e] = Widen(row[e]);
}
template <class T>
void Write(const float* row, int64_t channels, T* out) {
#pragma omp simd
  for (int64_t e = 0; e < channels; ++e) Narrow(row[e], out[e]);
}

inline Lanes Load(const float* x) {
  Lanes out;
  __builtin_memcpy(&out, x, sizeof out);
  return out;
}
inline void Store(Lanes x, float* out) { __builtin_memcpy(out, &x, sizeof x); }
inline Lanes All(float x) { return Lanes{} + x; }
inline float Sum(Lanes x) {
  float sum = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) sum += x[lane];
  return sum;
}

// 2^x for x <= 0, relative error below 3e-6: the Taylor polynomial around the nearest integer.
inline Lanes Exp2(Lanes x) {
  x = x < -126.0f ? All(-126.0f) : x;
  const IntLanes whole = __builtin_convertvector(x - 0.5f, IntLanes);
  const Lanes f = x - __builtin_convertvector(whole, Lanes);
  Lanes y = f * 1.3333558e-3f + 9.6181291e-3f;
  y = y * f + 5.5504109e-2f;
  y = y * f + 2.4022651e-1f;
  y = y * f + 6.9314718e-1f;
  y = y * f + 1.0f;
  const IntLanes power = (whole + 127) << 23;
  Lanes scale;
  __builtin_memcpy(&scale, &power, sizeof scale);
  return y * scale;
}

inline Lanes Sigmoid(Lanes x) {
  constexpr float kLog2E = 1.44269504f;
  const Lanes small = Exp2((x < 0.0f ? x : -x) * kLog2E);  // e^-|x|
  return (x < 0.0f ? small : All(1.0f)) / (1.0f + small);
}

// ln(1 + e^x), by 2 artanh(z / (2 + z)) = ln(1 + z).
inline Lanes Softplus(Lanes x) {
  constexpr float kLog2E = 1.44269504f;
  const Lanes z = Exp2((x < 0.0f ? x : -x) * kLog2E), s = z / (z + 2.0f), square = s * s;
  Lanes sum = square * (1.0f / 11) + 1.0f / 9;
  sum = sum * square + 1.0f / 7;
  sum = sum * square + 1.0f / 5;
  sum = sum * square + 1.0f / 3;
  sum = sum * square + 1.0f;
  return (x < 0.0f ? All(0.0f) : x) + 2.0f * s * sum;
}

template <class T>
const T* In(const torch::Tensor& x) {
  return static_cast<const T*>(x.const_data_ptr());
}
template <class T>
T* Out(const torch::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

// call(T{}) for the tensor's type.
template <class Call>
void ForType(const torch::Tensor& x, const Call& call) {
  if (x.scalar_type() == torch::kBFloat16) return call(Half{});
  TORCH_CHECK(x.scalar_type() == torch::kFloat32, "the kernels take float32 and bfloat16");
  call(float{});
}

}  // namespace gesso_train
