#include "kernels/peaks.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "kernels/elementwise.h"
#include "kernels/gemm.h"

namespace gesso {

namespace {

// Of the fastest of some runs, each of `calls` calls, a call.
template <class Call>
double SecondsOf(const Call& call) {
  constexpr int kRuns = 5;
  constexpr int kCalls = 4;  // so that the time to start the first does not count
  double best = std::numeric_limits<double>::infinity();
  call();
  for (int run = 0; run < kRuns; ++run) {
    WaitForDevice();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) call();
    WaitForDevice();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::min(best, elapsed.count() / kCalls);
  }
  return best;
}

}  // namespace

DevicePeaks MeasurePeaks(Device device, DType dtype, int64_t side) {
  CHECK(side >= 64);
  Context ctx{.device = device};
  const DType activation = ActivationDType(device, dtype);
  const Shape square = {side, side};
  // Not zeros, with which a GPU takes less power and is faster than it ever is at work.
  Tensor values(square, DType::kF32);
  const NormalTerm normal = {1, 0};
  const uint64_t seed = 0;
  LinearCombination(
      ctx, {.terms = {},
            .out = values.mutable_view().Reshape({1, side * side}),
            .noise = {
                .coefficient = 1, .seeds = std::span(&seed, 1), .streams = std::span(&normal, 1)}});
  const PackedMatrix weight = PackMatrix(device, values, dtype);
  const Tensor x = Cast(values, activation);
  Tensor out(square, activation);
  const double product = SecondsOf([&] {
    Linear(ctx, {.x = x, .weight = &weight, .bias = {}, .residual = {}, .out = out.mutable_view()});
  });
  const Tensor from({4 * side, side}, DType::kF32);
  Tensor to(from.shape(), DType::kF32);
  const std::array<Term, 1> terms = {{{1, from}}};
  const double copy =
      SecondsOf([&] { LinearCombination(ctx, {.terms = terms, .out = to.mutable_view()}); });
  const auto n = static_cast<double>(side);
  return {.flops = 2 * n * n * n / product,
          .bytes = 2 * static_cast<double>(from.view().bytes()) / copy};
}

}  // namespace gesso
