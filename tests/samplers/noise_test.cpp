#include "samplers/noise.h"

#include <cmath>

#include "tests/samplers/support.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::SameBits;

constexpr int64_t kSize = 8000;

Tensor Draw(const NoiseSource& noise, int64_t draw, double from, double to, int64_t pictures = 1) {
  TestContext test;
  Tensor out({pictures, kSize}, DType::kF32);
  AddUp(test.ctx, {}, 1, noise.Draw(draw, from, to), out.mutable_view());
  return out;
}

double MeanProduct(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < kSize; ++i) {
    sum += static_cast<double>(a.Data<float>()[i]) * static_cast<double>(b.Data<float>()[i]);
  }
  return sum / static_cast<double>(kSize);
}

// Five standard deviations of a mean of products of kSize unit normal numbers.
const double kSlack = 5 * std::sqrt(2.0 / static_cast<double>(kSize));

TEST(PhiloxNoise, DrawsAreIndependentUnitNormals) {
  const PhiloxNoise noise({42});
  TestContext test;
  Tensor start({1, kSize}, DType::kF32);
  const std::vector<uint64_t> seeds = {42};
  DrawStart(test.ctx, seeds, start.mutable_view());
  const Tensor first = Draw(noise, 0, 2, 1);
  const Tensor second = Draw(noise, 1, 2, 1);
  EXPECT_NEAR(MeanProduct(first, first), 1, kSlack);
  EXPECT_NEAR(MeanProduct(first, second), 0, kSlack);
  EXPECT_NEAR(MeanProduct(first, start), 0, kSlack);
  EXPECT_TRUE(SameBits(first, Draw(noise, 0, 5, 4))) << "a function of seed and draw alone";
}

TEST(PhiloxNoise, PicturesDependOnTheirSeedAlone) {
  const Tensor batch = Draw(PhiloxNoise({1, 2, 3}), 4, 2, 1, 3);
  EXPECT_TRUE(SameBits(batch.view().Slice(0, 1, 2), Draw(PhiloxNoise({2}), 4, 2, 1)));
}

TEST(BrownianNoise, HasUnitVarianceOnEveryInterval) {
  const BrownianNoise noise({42});
  const std::vector<std::pair<double, double>> moves = {
      {160, 120}, {1, 0.9}, {1, 0.99999}, {0.02, 0.01}, {5, 0}, {1e-5, 1e-6}, {60000, 1e-3}};
  for (const auto& [from, to] : moves) {
    const Tensor draw = Draw(noise, 0, from, to);
    EXPECT_NEAR(MeanProduct(draw, draw), 1, kSlack) << from << " to " << to;
  }
}

TEST(BrownianNoise, MovesAreIndependentOrOverlap) {
  const BrownianNoise noise({42});
  const auto correlation = [&](double a, double b, double c, double d) {
    return MeanProduct(Draw(noise, 0, a, b), Draw(noise, 0, c, d));
  };
  EXPECT_NEAR(correlation(3, 2, 2, 1), 0, kSlack);
  EXPECT_NEAR(correlation(3, 2.9, 2.9, 2.8), 0, kSlack);
  EXPECT_NEAR(correlation(0.5, 0.4, 3, 2), 0, kSlack);
  // Half of the variance in common; the two draws of dpmpp_sde.
  EXPECT_NEAR(correlation(3, 1, 3, 2), std::sqrt(0.5), kSlack);
  EXPECT_NEAR(correlation(3, 1, 1, 3), -1, kSlack) << "backwards";
}

TEST(BrownianNoise, ShortMovesAddUpToLongOnes) {
  const BrownianNoise noise({42});
  const std::vector<double> points = {7.3, 4.1, 4.0, 1.5, 0.3};
  const Tensor whole = Draw(noise, 0, points.front(), points.back());
  std::vector<double> sum(kSize);
  for (size_t i = 1; i < points.size(); ++i) {
    const Tensor part = Draw(noise, 0, points[i - 1], points[i]);
    const double scale = std::sqrt(points[i - 1] - points[i]);
    for (int64_t j = 0; j < kSize; ++j) {
      sum[static_cast<size_t>(j)] += scale * static_cast<double>(part.Data<float>()[j]);
    }
  }
  const double scale = std::sqrt(points.front() - points.back());
  for (int64_t j = 0; j < kSize; ++j) {
    ASSERT_NEAR(sum[static_cast<size_t>(j)], scale * static_cast<double>(whole.Data<float>()[j]),
                1e-4);
  }
}

TEST(BrownianNoise, PicturesDependOnTheirSeedAlone) {
  const Tensor batch = Draw(BrownianNoise({1, 2, 3}), 0, 2, 1, 3);
  EXPECT_TRUE(SameBits(batch.view().Slice(0, 1, 2), Draw(BrownianNoise({2}), 9, 2, 1)));
}

TEST(BrownianNoise, PassesHavePathsOfTheirOwn) {
  const BrownianNoise noise({42});
  const Tensor first = Draw(noise, 3, 2, 1);
  EXPECT_TRUE(SameBits(first, Draw(noise, 0, 2, 1)));
  const Tensor second = Draw(noise, kDrawsPerPass, 2, 1);
  EXPECT_NEAR(MeanProduct(second, second), 1, kSlack);
  EXPECT_NEAR(MeanProduct(first, second), 0, kSlack);
}

TEST(BrownianNoise, RefusesLevelsThatItDoesNotKnow) {
  const BrownianNoise noise({1});
  ExpectError(ErrorKind::kUsage, "noise levels", [&] { Draw(noise, 0, 1e6, 1); });
  ExpectError(ErrorKind::kUsage, "noise levels", [&] { Draw(noise, 0, 1, -1); });
  ExpectError(ErrorKind::kUsage, "noise levels", [&] { Draw(noise, 0, std::nan(""), 1); });
  ExpectError(ErrorKind::kUsage, "equal", [&] { Draw(noise, 0, 1, 1); });
}

TEST(BrownianNoise, KeepsPicturesWhenTheNumberOfStepsChanges) {
  const auto sample = [](const std::string& method, int64_t n) {
    RunSettings settings;
    settings.sigmas = MakeSchedule("karras")(n, 0.01, 10);
    return SamplePictures(method, settings);
  };
  const double brownian =
      testing_support::RmsError(sample("dpmpp_2m_sde", 100), sample("dpmpp_2m_sde", 200));
  const double independent =
      testing_support::RmsError(sample("euler_ancestral", 100), sample("euler_ancestral", 200));
  EXPECT_LT(brownian, 0.3 * independent) << brownian << " " << independent;
}

TEST(ReplayNoise, GivesBackWhatWasRecorded) {
  const Tensor recorded = testing_support::RandomTensor({2, 1, kSize}, 1);
  const ReplayNoise noise(recorded);
  EXPECT_TRUE(
      SameBits(Draw(noise, 1, 2, 1).view().Reshape({1, 1, kSize}), recorded.view().Slice(0, 1, 2)));
  ExpectError(ErrorKind::kShape, "2 are recorded", [&] { Draw(noise, 2, 2, 1); });
  ExpectError(ErrorKind::kShape, "does not fit", [&] { Draw(noise, 0, 2, 1, 2); });
}

}  // namespace
}  // namespace gesso
