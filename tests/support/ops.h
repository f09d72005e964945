// How tests of ops make inputs, run one implementation by name and compare results.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"
#include "kernels/core/tensor.h"

namespace gesso::testing_support {

// Standard normal numbers times `scale`.
inline Tensor RandomTensor(const Shape& shape, uint32_t seed, DType dtype = DType::kF32,
                           float scale = 1) {
  Tensor t(shape, DType::kF32);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  float* values = t.MutableData<float>();
  for (int64_t i = 0; i < shape.numel(); ++i) values[i] = normal(generator);
  return dtype == DType::kF32 ? std::move(t) : Cast(t, dtype);
}

// A matrix [n, k] whose products keep the size of their inputs.
inline Tensor RandomWeight(int64_t n, int64_t k) {
  return RandomTensor({n, k}, 1, DType::kF32, 1 / std::sqrt(static_cast<float>(k)));
}

// RMS(got - want) / RMS(want); infinite where `got` is not finite.
inline double RmsError(ConstView got, ConstView want) {
  const Tensor a = Cast(got, DType::kF32);
  const Tensor b = Cast(want, DType::kF32);
  double difference = 0;
  double square = 0;
  for (int64_t i = 0; i < b.shape().numel(); ++i) {
    const double x = a.Data<float>()[i];
    const double y = b.Data<float>()[i];
    if (!std::isfinite(x)) return INFINITY;
    difference += (x - y) * (x - y);
    square += y * y;
  }
  return std::sqrt(difference / std::max(square, 1e-30));
}

// Whether two contiguous tensors of one type hold the same bits.
inline bool SameBits(ConstView a, ConstView b) {
  return a.shape == b.shape && a.dtype == b.dtype && std::memcmp(a.data, b.data, a.bytes()) == 0;
}

// Bound of RmsError between two implementations whose narrowest element type is `dtype`.
inline double ToleranceOf(DType dtype) { return dtype == DType::kBF16 ? 1e-2 : 1e-5; }

// Runs the implementation `name` whatever the table's order, and waits for what it gave to the
// device.
template <class Args>
void RunImplementation(const OpTable<Args>& table, std::string_view name, const Args& args) {
  Arena arena(Device::kCpu, 4096);
  Context ctx;
  ctx.arena = &arena;
  for (const auto& implementation : table.implementations()) {
    if (implementation.name != name) continue;
    implementation.run(ctx, args);
    return WaitForDevice();
  }
  FAIL() << "no implementation " << name;
}

// Whether an implementation can run here: on the CPU, or on the device in use.
template <class Args>
bool RunsHere(const OpImplementation<Args>& implementation) {
  return implementation.device == Device::kCpu || CurrentBackend() != nullptr;
}

// Calls body(name) for every implementation but ref that runs here and accepts `args`.
template <class Args, class Body>
void ForEachFast(const OpTable<Args>& table, const Args& args, const Body& body) {
  for (const auto& implementation : table.implementations()) {
    if (implementation.name == "ref") continue;
    if (!RunsHere(implementation)) continue;
    if (implementation.why_not(args)) continue;
    SCOPED_TRACE(std::string(implementation.name));
    body(implementation.name);
  }
}

// Expects `body` to throw an Error of this kind whose message contains `part`.
template <class Body>
void ExpectError(ErrorKind kind, const std::string& part, const Body& body) {
  try {
    body();
    FAIL() << "no error; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace gesso::testing_support
