// Guidance and parameterisations: the wrappers around a network.
#include "samplers/guidance.h"

#include <cmath>

#include "samplers/parameterisation.h"
#include "tests/samplers/support.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::RandomTensor;
using testing_support::RmsError;
using testing_support::SameBits;

const Shape kPictures = {2, 3, 4, 4};

// Estimates that differ from picture to picture: x times `slope` plus a pattern times `spread`.
void Estimate(ConstView x, double slope, double spread, float* out) {
  for (int64_t i = 0; i < x.numel(); ++i) {
    out[i] = static_cast<float>(slope) * x.Data<float>()[i] +
             static_cast<float>(spread) * static_cast<float>(std::sin(static_cast<double>(i)));
  }
}

void Conditional(ConstView x, float* out) { Estimate(x, 0.5, 2, out); }
void Unconditional(ConstView x, float* out) { Estimate(x, 0.7, -1, out); }

class Guidance : public ::testing::Test {
 protected:
  Guidance()
      : both([](ConstView in, double, View out) {
          const int64_t half = in.shape[0] / 2;
          Unconditional(in.Slice(0, 0, half), out.Data<float>());
          Conditional(in.Slice(0, half, 2 * half), out.Slice(0, half, 2 * half).Data<float>());
        }),
        conditional([](ConstView in, double, View out) { Conditional(in, out.Data<float>()); }),
        x(RandomTensor(kPictures, 1)),
        cond(kPictures, DType::kF32),
        uncond(kPictures, DType::kF32) {
    Conditional(x, cond.MutableData<float>());
    Unconditional(x, uncond.MutableData<float>());
  }

  Tensor Denoise(const GuidanceOptions& options, double sigma = 1) {
    TestContext test;
    Tensor out(kPictures, DType::kF32);
    GuidedDenoiser(both, conditional, options).Denoise(test.ctx, x, sigma, out.mutable_view());
    return out;
  }

  FunctionDenoiser both;
  FunctionDenoiser conditional;
  Tensor x;
  Tensor cond;
  Tensor uncond;
};

TEST_F(Guidance, ExtrapolatesFromUnconditionalToConditional) {
  Tensor want(kPictures, DType::kF32);
  for (int64_t i = 0; i < want.shape().numel(); ++i) {
    const float u = uncond.Data<float>()[i];
    want.MutableData<float>()[i] = u + (cond.Data<float>()[i] - u) * 4.5F;
  }
  EXPECT_LT(RmsError(Denoise({.scale = 4.5}), want), 1e-6);
  EXPECT_EQ(both.calls, 1);
  EXPECT_EQ(conditional.calls, 0);
  EXPECT_LT(RmsError(Denoise({.scale = 0}), uncond), 1e-6);
}

TEST_F(Guidance, OfScaleOneIsTheConditionalModelAlone) {
  EXPECT_TRUE(SameBits(Denoise({.scale = 1}), cond));
  EXPECT_EQ(both.calls, 0);
  EXPECT_EQ(conditional.calls, 1);
}

TEST_F(Guidance, ActsInsideItsIntervalOnly) {
  const GuidanceOptions options{.scale = 3, .interval_low = 0.5, .interval_high = 2};
  const Tensor guided = Denoise({.scale = 3});
  for (const double sigma : {0.6, 1.0, 2.0}) {
    EXPECT_TRUE(SameBits(Denoise(options, sigma), guided)) << sigma;
  }
  both.calls = 0;
  for (const double sigma : {0.1, 0.5, std::nextafter(2.0, 3.0), 100.0}) {
    EXPECT_TRUE(SameBits(Denoise(options, sigma), cond)) << sigma;
  }
  EXPECT_EQ(both.calls, 0) << "half the cost outside";
}

TEST_F(Guidance, RescaleRestoresTheContrast) {
  const auto deviation = [](const Tensor& t, int64_t b) {
    const int64_t size = t.shape().numel() / 2;
    double mean = 0;
    double square = 0;
    for (int64_t i = b * size; i < (b + 1) * size; ++i) {
      mean += static_cast<double>(t.Data<float>()[i]) / static_cast<double>(size);
    }
    for (int64_t i = b * size; i < (b + 1) * size; ++i) {
      square += std::pow(static_cast<double>(t.Data<float>()[i]) - mean, 2);
    }
    return std::sqrt(square / static_cast<double>(size));
  };
  const Tensor guided = Denoise({.scale = 6});
  const Tensor rescaled = Denoise({.scale = 6, .rescale = 0.7});
  Tensor want(kPictures, DType::kF32);
  const int64_t size = want.shape().numel() / 2;
  for (int64_t i = 0; i < want.shape().numel(); ++i) {
    const double ratio = deviation(cond, i / size) / deviation(guided, i / size);
    const double value = guided.Data<float>()[i];
    want.MutableData<float>()[i] = static_cast<float>(0.7 * value * ratio + 0.3 * value);
  }
  EXPECT_LT(RmsError(rescaled, want), 1e-6);
  EXPECT_NEAR(deviation(Denoise({.scale = 6, .rescale = 1}), 1), deviation(cond, 1), 1e-6);
}

TEST_F(Guidance, DryRunCountsTheGuidedStep) {
  const GuidanceOptions options{.scale = 3, .interval_low = 0.5, .interval_high = 2};
  Arena arena(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  const View pictures = arena.Alloc(kPictures, DType::kF32);
  GuidedDenoiser(both, conditional, options).Denoise(ctx, pictures, 100, pictures);
  EXPECT_EQ(arena.peak_bytes(), 5 * pictures.bytes());
}

TEST_F(Guidance, RefusesOptionsOutOfRange) {
  ExpectError(ErrorKind::kUsage, "scale", [&] { Denoise({.scale = std::nan("")}); });
  ExpectError(ErrorKind::kUsage, "rescale", [&] { Denoise({.rescale = 1.5}); });
  ExpectError(ErrorKind::kUsage, "interval",
              [&] { Denoise({.interval_low = 2, .interval_high = 1}); });
}

TEST(KarrasDenoiser, PreconditionsTheNetwork) {
  const Tensor x = RandomTensor(kPictures, 2);
  const std::vector<double> sigmas = {0.3, 20};
  std::vector<double> seen;
  // F(x, sigma) = 3 x + sigma.
  KarrasDenoiser denoiser(
      [&](Context&, ConstView in, std::span<const double> levels, View out) {
        seen.assign(levels.begin(), levels.end());
        const int64_t size = in.numel() / in.shape[0];
        for (int64_t i = 0; i < in.numel(); ++i) {
          const auto sigma = static_cast<float>(levels[static_cast<size_t>(i / size)]);
          out.Data<float>()[i] = 3 * in.Data<float>()[i] + sigma;
        }
      },
      0.5);
  TestContext test;
  Tensor out(kPictures, DType::kF32);
  denoiser.Denoise(test.ctx, x, sigmas, out.mutable_view());
  EXPECT_EQ(seen, sigmas);
  Tensor want(kPictures, DType::kF32);
  for (int64_t i = 0; i < want.shape().numel(); ++i) {
    const double s = sigmas[static_cast<size_t>(i / (want.shape().numel() / 2))];
    const double total = s * s + 0.25;
    const double value = x.Data<float>()[i];
    want.MutableData<float>()[i] = static_cast<float>(
        0.25 / total * value + s * 0.5 / std::sqrt(total) * (3 * value / std::sqrt(total) + s));
  }
  EXPECT_LT(RmsError(out, want), 1e-6);
  denoiser.Denoise(test.ctx, x, 20.0, out.mutable_view());
  EXPECT_EQ(seen, std::vector<double>(2, 20.0));
  EXPECT_LT(RmsError(out.view().Slice(0, 1, 2), want.view().Slice(0, 1, 2)), 1e-6);
}

TEST(KarrasDenoiser, RefusesAnImpossibleSigmaData) {
  const Network none = [](Context&, ConstView, std::span<const double>, View) {};
  ExpectError(ErrorKind::kConfig, "sigma_data", [&] { KarrasDenoiser(none, 0); });
  ExpectError(ErrorKind::kConfig, "sigma_data", [&] { KarrasDenoiser(none, std::nan("")); });
}

TEST(MixtureDenoiser, TendsToTheDataAndToTheirMean) {
  MixtureDenoiser mixture = SmoothMixture();
  TestContext test;
  const Tensor x = RandomTensor({1, 2, 3, 4}, 9);
  Tensor out(x.shape(), DType::kF32);
  mixture.Denoise(test.ctx, x, 1e-6, out.mutable_view());
  EXPECT_LT(RmsError(out, x), 1e-5);
  mixture.Denoise(test.ctx, x, 1e6, out.mutable_view());
  const Tensor means = RandomTensor({3, 2, 3, 4}, 5, DType::kF32, 0.3F);
  for (int64_t i = 0; i < 24; ++i) {
    const float* m = means.Data<float>();
    EXPECT_NEAR(out.Data<float>()[i], (0.5 * m[i] + 0.4 * m[24 + i] + 0.3 * m[48 + i]) / 1.2, 1e-5);
  }
  ExpectError(ErrorKind::kShape, "mixture",
              [&] { MixtureDenoiser(means, Tensor({2}, DType::kF32), Tensor({3}, DType::kF32)); });
}

}  // namespace
}  // namespace gesso
