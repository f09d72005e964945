#include "kernels/peaks.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "kernels/activation.h"
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

// Not zeros, with which a GPU takes less power and is faster than it ever is at work.
View Noise(Context& ctx, const Shape& shape) {
  const View values = ctx.arena->Alloc(shape, DType::kF32);
  const NormalTerm normal = {1, 0};
  const uint64_t seed = 0;
  LinearCombination(
      ctx, {.terms = {},
            .out = values.Reshape({1, shape.numel()}),
            .noise = {
                .coefficient = 1, .seeds = std::span(&seed, 1), .streams = std::span(&normal, 1)}});
  return values;
}

}  // namespace

DevicePeaks MeasurePeaks(Device device, DType dtype, int64_t side) {
  CHECK(side >= 64);
  const DType activation = ActivationDType(device, dtype);
  const Shape square = {side, side};
  const auto matrix_bytes = static_cast<size_t>(square.numel()) * sizeof(float);
  // An arena's memory is not touched by the host, which would take longer than what is measured.
  Arena arena(device, 8 * matrix_bytes + 1024);
  Context ctx{.device = device, .arena = &arena};
  const double product = [&] {
    const Arena::Scope scope(arena);
    const View values = Noise(ctx, square);
    const PackedMatrix weight = PackMatrix(device, values, dtype);
    const View x = arena.Alloc(square, activation);
    Activate(ctx, {.x = values, .activation = Activation::kNone, .out = x});
    const View out = arena.Alloc(square, activation);
    return SecondsOf(
        [&] { Linear(ctx, {.x = x, .weight = &weight, .bias = {}, .residual = {}, .out = out}); });
  }();
  const View from = arena.Alloc({4 * side, side}, DType::kF32);
  const View to = arena.Alloc(from.shape, DType::kF32);
  const auto copy = [&ctx](ConstView source, View target) {
    const std::array<Term, 1> terms = {{{1, source}}};
    LinearCombination(ctx, {.terms = terms, .out = target});
  };
  copy(to, from);  // what nothing was written to may not be memory yet
  const double copied = SecondsOf([&] { copy(from, to); });
  const auto n = static_cast<double>(side);
  return {.flops = 2 * n * n * n / product,
          .bytes = 2 * static_cast<double>(from.bytes()) / copied};
}

}  // namespace gesso
