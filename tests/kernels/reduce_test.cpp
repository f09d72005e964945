#include "kernels/reduce.h"

#include <cmath>

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::RandomTensor;
using testing_support::RunImplementation;

double DeviationOf(ConstView x, int64_t b) {
  const int64_t size = x.numel() / x.shape[0];
  const float* values = x.Data<float>() + b * size;
  double mean = 0;
  double square = 0;
  for (int64_t i = 0; i < size; ++i)
    mean += static_cast<double>(values[i]) / static_cast<double>(size);
  for (int64_t i = 0; i < size; ++i) square += std::pow(static_cast<double>(values[i]) - mean, 2);
  return std::sqrt(square / static_cast<double>(size));
}

TEST(MatchDeviation, BringsEachPictureTowardsItsReference) {
  for (const std::string_view name : {"ref", "cuda"}) {
    if (name == "cuda" && CurrentBackend() == nullptr) continue;
    Tensor x = RandomTensor({3, 7, 11}, 1);
    float* values = x.MutableData<float>();
    for (int64_t i = 77; i < 154; ++i) values[i] = 10 + 2 * values[i];
    for (int64_t i = 154; i < 231; ++i) values[i] = 5;
    const Tensor before = Cast(x, DType::kF32);
    const Tensor reference = RandomTensor({3, 7, 11}, 2, DType::kF32, 4);
    RunImplementation(MatchDeviationTable(), name,
                      {.reference = reference, .share = 0.75, .x = x.mutable_view()});
    for (const int64_t b : {0, 1}) {
      const double wanted = 0.75 * DeviationOf(reference, b) + 0.25 * DeviationOf(before, b);
      EXPECT_NEAR(DeviationOf(x, b), wanted, 1e-5 * wanted) << name << " " << b;
    }
    for (int64_t i = 154; i < 231; ++i) EXPECT_EQ(x.Data<float>()[i], 5) << name;
  }
}

TEST(ScaledError, MeasuresAgainstTheLargerTolerance) {
  Arena arena(Device::kCpu, 4096);
  Context ctx;
  ctx.arena = &arena;
  Tensor a({2}, DType::kF32);
  Tensor b({2}, DType::kF32);
  Tensor reference({2}, DType::kF32);
  a.MutableData<float>()[0] = 0.1F;  // absolute tolerance rules: 0.5 / 1
  b.MutableData<float>()[0] = 0.6F;
  a.MutableData<float>()[1] = 50;  // relative tolerance of the reference: 2 / (0.1 * 100)
  b.MutableData<float>()[1] = 52;
  reference.MutableData<float>()[1] = -100;
  double rms = 0;
  ScaledError(
      ctx, {.a = a, .b = b, .reference = reference, .absolute = 1, .relative = 0.1, .rms = &rms});
  EXPECT_NEAR(rms, std::sqrt((0.25 + 0.04) / 2), 1e-7);
}

TEST(Reductions, DoNotDependOnTheNumberOfThreads) {
  Arena arena(Device::kCpu, 4096);
  Context ctx;
  ctx.arena = &arena;
  const Tensor x = RandomTensor({1, 50001}, 1);
  const Tensor y = RandomTensor({1, 50001}, 2);
  const int threads = NumThreads();
  std::vector<double> results;
  for (const int count : {1, 3}) {
    SetNumThreads(count);
    Tensor matched = Cast(x, DType::kF32);
    double rms = 0;
    MatchDeviation(ctx, {.reference = y, .share = 1, .x = matched.mutable_view()});
    ScaledError(ctx,
                {.a = x, .b = y, .reference = y, .absolute = 0.1, .relative = 0.1, .rms = &rms});
    results.insert(results.end(), {matched.Data<float>()[7], rms});
  }
  SetNumThreads(threads);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_EQ(results[1], results[3]);
}

TEST(Reductions, RefuseWhatDoesNotFit) {
  Arena arena(Device::kCpu, 4096);
  Context ctx;
  ctx.arena = &arena;
  Tensor x = RandomTensor({2, 3}, 1);
  const Tensor y = RandomTensor({3, 2}, 1);
  ExpectError(ErrorKind::kShape, "match_deviation",
              [&] { MatchDeviation(ctx, {.reference = y, .share = 1, .x = x.mutable_view()}); });
  double rms = 0;
  ExpectError(ErrorKind::kShape, "differ", [&] { ScaledError(ctx, {x, y, y, 1, 1, &rms}); });
}

}  // namespace
}  // namespace gesso
