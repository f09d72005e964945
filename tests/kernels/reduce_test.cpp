#include "kernels/reduce.h"

#include <cmath>

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::RandomTensor;

TEST(Deviation, IsThatOfEachPicture) {
  Arena arena(Device::kCpu, 4096);
  Context ctx;
  ctx.arena = &arena;
  Tensor x = RandomTensor({3, 7, 11}, 1);
  for (int64_t i = 0; i < 77; ++i) x.MutableData<float>()[77 + i] = 1000 + 2 * x.Data<float>()[i];
  for (int64_t i = 0; i < 77; ++i) x.MutableData<float>()[154 + i] = 5;
  std::vector<double> got(3);
  Deviation(ctx, {.x = x, .deviations = got});
  double mean = 0;
  double square = 0;
  for (int64_t i = 0; i < 77; ++i) mean += static_cast<double>(x.Data<float>()[i]) / 77;
  for (int64_t i = 0; i < 77; ++i) {
    square += std::pow(static_cast<double>(x.Data<float>()[i]) - mean, 2);
  }
  EXPECT_NEAR(got[0], std::sqrt(square / 77), 1e-12);
  EXPECT_NEAR(got[1], 2 * got[0], 1e-4);
  EXPECT_EQ(got[2], 0);
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
    std::vector<double> deviation(1);
    double rms = 0;
    Deviation(ctx, {.x = x, .deviations = deviation});
    ScaledError(ctx,
                {.a = x, .b = y, .reference = y, .absolute = 0.1, .relative = 0.1, .rms = &rms});
    results.insert(results.end(), {deviation[0], rms});
  }
  SetNumThreads(threads);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_EQ(results[1], results[3]);
}

TEST(Reductions, RefuseWhatDoesNotFit) {
  Arena arena(Device::kCpu, 4096);
  Context ctx;
  ctx.arena = &arena;
  const Tensor x = RandomTensor({2, 3}, 1);
  std::vector<double> three(3);
  ExpectError(ErrorKind::kShape, "deviation", [&] { Deviation(ctx, {x, three}); });
  double rms = 0;
  const Tensor y = RandomTensor({3, 2}, 1);
  ExpectError(ErrorKind::kShape, "differ", [&] { ScaledError(ctx, {x, y, y, 1, 1, &rms}); });
}

}  // namespace
}  // namespace gesso
