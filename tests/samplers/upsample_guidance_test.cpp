#include "samplers/upsample_guidance.h"

#include <cmath>

#include "tests/samplers/support.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::RandomTensor;
using testing_support::RmsError;

// eps = 0.5 whatever x is.
void HalfNoise(ConstView x, double sigma, View denoised) {
  for (int64_t i = 0; i < x.numel(); ++i) {
    denoised.Data<float>()[i] = x.Data<float>()[i] - 0.5F * static_cast<float>(sigma);
  }
}

TEST(UpsampleGuidance, CorrectsByTheSmallPicture) {
  TestContext test;
  const DiscreteVp process;
  FunctionDenoiser large(HalfNoise);
  double small_sigma = 0;
  Tensor seen({1, 2, 2, 3}, DType::kF32);
  FunctionDenoiser small([&](ConstView x, double sigma, View denoised) {
    small_sigma = sigma;
    seen = Cast(x, DType::kF32);
    for (int64_t i = 0; i < x.numel(); ++i) {  // eps = 3
      denoised.Data<float>()[i] = x.Data<float>()[i] - 3 * static_cast<float>(sigma);
    }
  });
  UpsampleGuidedDenoiser guided(large, small, process, {.factor = 2, .theta = 0.8});
  const double sigma = process.SigmaAt(0.9);
  const Tensor x = RandomTensor({1, 2, 4, 6}, 4, DType::kF32, 5);
  Tensor out(x.shape(), DType::kF32);
  guided.Denoise(test.ctx, x, sigma, out.mutable_view());
  // eps = 0.5 + 0.8 (3 / 2 - 0.5) everywhere.
  Tensor want(x.shape(), DType::kF32);
  for (int64_t i = 0; i < x.view().numel(); ++i) {
    want.MutableData<float>()[i] = x.Data<float>()[i] - 1.3F * static_cast<float>(sigma);
  }
  EXPECT_LT(RmsError(out, want), 1e-6);
  EXPECT_NEAR(process.TimeAt(small_sigma), guided.SmallTimeAt(0.9), 1e-9);
  // The first mean, at unit power over that of the mean, at the small picture's level.
  const double alpha_bar = process.AlphaBar(900);
  const float* from = x.Data<float>();
  const double mean = (from[0] + from[1] + from[6] + from[7]) / 4 / std::hypot(1, sigma);
  const double power = alpha_bar + (1 - alpha_bar) / 4;
  EXPECT_NEAR(static_cast<double>(seen.Data<float>()[0]),
              mean / std::sqrt(power) * std::hypot(1, small_sigma), 1e-4);
}

TEST(UpsampleGuidance, TakesTheTimeOfTheNearestRatio) {
  FunctionDenoiser none(HalfNoise);
  const DiscreteVp process;
  const auto ratio = [&](double t) { return 1 / std::pow(process.SigmaAt(t), 2); };
  for (const int64_t m : {2, 3}) {
    const UpsampleGuidedDenoiser guided(none, none, process, {.factor = m});
    double last = 2;
    for (const double t : {1.0, 0.9, 0.8, 0.7}) {
      const double tau = guided.SmallTimeAt(t);
      EXPECT_LT(tau, last);
      last = tau;
      const double wanted = static_cast<double>(m * m) * ratio(t);
      // A table of steps of 1 / 1000, read as 1 / 999.
      EXPECT_GT(ratio(tau - 0.002), wanted) << t;
      EXPECT_LT(ratio(tau + 0.002), wanted) << t;
    }
  }
}

TEST(UpsampleGuidance, EndsWithTheNoise) {
  TestContext test;
  const DiscreteVp process;
  FunctionDenoiser large(HalfNoise);
  FunctionDenoiser small(HalfNoise);
  UpsampleGuidedDenoiser guided(large, small, process, {.factor = 2, .share = 0.3});
  const Tensor x = RandomTensor({1, 1, 4, 4}, 4);
  Tensor out(x.shape(), DType::kF32);
  Tensor want(x.shape(), DType::kF32);
  guided.Denoise(test.ctx, x, process.SigmaAt(0.7), out.mutable_view());
  EXPECT_EQ(small.calls, 1);
  guided.Denoise(test.ctx, x, process.SigmaAt(0.69), out.mutable_view());
  EXPECT_EQ(small.calls, 1);
  HalfNoise(x, process.SigmaAt(0.69), want.mutable_view());
  EXPECT_EQ(RmsError(out, want), 0);
}

TEST(UpsampleGuidance, RefusesWhatDoesNotFit) {
  TestContext test;
  const DiscreteVp process;
  FunctionDenoiser none(HalfNoise);
  const auto make = [&](const UpsampleGuidanceOptions& options) {
    return UpsampleGuidedDenoiser(none, none, process, options);
  };
  ExpectError(ErrorKind::kUsage, "factor", [&] { make({.factor = 1}); });
  ExpectError(ErrorKind::kUsage, "share", [&] { make({.share = 1}); });
  const Tensor odd({1, 1, 4, 5}, DType::kF32);
  Tensor out(odd.shape(), DType::kF32);
  UpsampleGuidedDenoiser guided = make({});
  ExpectError(ErrorKind::kUsage, "sides",
              [&] { guided.Denoise(test.ctx, odd, 10, out.mutable_view()); });
}

}  // namespace
}  // namespace gesso
