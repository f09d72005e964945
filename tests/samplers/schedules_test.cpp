#include "samplers/schedules.h"

#include <gtest/gtest.h>

#include <cmath>

#include "samplers/registry.h"
#include "samplers/vp_process.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;

TEST(Schedules, FollowTheirFormulas) {
  const std::vector<double> karras = KarrasSigmas(5, 0.01, 160, 7);
  ASSERT_EQ(karras.size(), 6U);
  const double low = std::pow(0.01, 1.0 / 7);
  const double high = std::pow(160.0, 1.0 / 7);
  EXPECT_NEAR(karras[1], std::pow(0.75 * high + 0.25 * low, 7), 1e-9);
  EXPECT_NEAR(ExponentialSigmas(3, 0.01, 100)[1], 1, 1e-12);
  EXPECT_NEAR(PolyexponentialSigmas(3, 0.01, 100, 2)[1], std::pow(0.01, 0.75) * std::pow(100, 0.25),
              1e-12);
  EXPECT_NEAR(VpSigmas(2)[0], std::sqrt(std::exp(19.9 / 2 + 0.1) - 1), 1e-9);
  EXPECT_NEAR(VpSigmas(2)[1], std::sqrt(std::exp(19.9e-6 / 2 + 0.1e-3) - 1), 1e-12);
}

TEST(Schedules, TimeUniformFollowsTheProduct) {
  const std::vector<double> sigmas = TimeUniformSigmas(1000);
  double alpha_bar = 1;
  for (int i = 0; i < 1000; ++i) {
    const double root = std::sqrt(0.00085) + i * (std::sqrt(0.012) - std::sqrt(0.00085)) / 999;
    alpha_bar *= 1 - root * root;
    const double sigma = sigmas[999 - static_cast<size_t>(i)];
    EXPECT_NEAR(sigma, std::sqrt((1 - alpha_bar) / alpha_bar), 1e-9 * sigma) << i;
  }
  EXPECT_EQ(sigmas[1000], 0);
  ExpectError(ErrorKind::kUsage, "between 0 and 1", [] { TimeUniformSigmas(5, 0.1, 1); });
}

TEST(VpProcesses, FindTheTimeOfALevel) {
  const DiscreteVp discrete;
  for (const VpProcess& process : {VpProcess{}, VpProcess{.beta_d = 0, .beta_min = 3}}) {
    for (const double t : {0.0, 0.001, 0.0123, 0.5, 0.7143, 1.0}) {
      EXPECT_NEAR(process.TimeAt(process.SigmaAt(t)), t, 1e-12);
      if (t > 0) {
        EXPECT_NEAR(discrete.TimeAt(discrete.SigmaAt(t)), t, 1e-11);
      }
    }
  }
  EXPECT_NEAR(discrete.AlphaBar(1000), 1 / (1 + std::pow(discrete.SigmaAt(1), 2)), 1e-12);
  EXPECT_EQ(discrete.AlphaBar(0), 1);
  // Log alpha is linear between two steps.
  const auto log_alpha = [&](double t) { return std::log1p(std::pow(discrete.SigmaAt(t), 2)); };
  EXPECT_NEAR(log_alpha(0.5005), (log_alpha(0.5) + log_alpha(0.501)) / 2, 1e-12);
}

TEST(Schedules, HaveExactEnds) {
  for (const int64_t n : {2, 3, 50, 10000}) {
    for (const auto& sigmas : {KarrasSigmas(n, 0.01, 160), ExponentialSigmas(n, 0.01, 160),
                               PolyexponentialSigmas(n, 0.01, 160, 1.5)}) {
      ASSERT_EQ(sigmas.size(), static_cast<size_t>(n) + 1);
      EXPECT_EQ(sigmas.front(), 160);
      EXPECT_EQ(sigmas[static_cast<size_t>(n) - 1], 0.01);
      EXPECT_EQ(sigmas.back(), 0);
      EXPECT_NO_THROW(CheckSigmas(sigmas));
    }
  }
}

TEST(Schedules, OfOneStepHaveTheHighestLevel) {
  for (const ScheduleInfo& info : Schedules()) {
    const std::vector<double> one = MakeSchedule(info.name)(1, 0.01, 160);
    const std::vector<double> two = MakeSchedule(info.name)(2, 0.01, 160);
    ASSERT_EQ(one.size(), 2U) << info.name;
    EXPECT_EQ(one[0], two[0]);
    EXPECT_EQ(one[1], 0);
  }
}

TEST(Schedules, EveryOptionMatters) {
  for (const ScheduleInfo& info : Schedules()) {
    for (const OptionInfo& option : info.options) {
      const auto plain = MakeSchedule(info.name)(10, 0.01, 160);
      const auto changed = MakeSchedule(info.name + ":" + option.name + "=0.3")(10, 0.01, 160);
      EXPECT_NE(plain, changed) << info.name << " " << option.name;
    }
  }
}

TEST(Schedules, RefuseWhatIsNoSchedule) {
  for (const ScheduleInfo& info : Schedules()) {
    const Schedule schedule = MakeSchedule(info.name);
    ExpectError(ErrorKind::kUsage, "number of steps", [&] { schedule(0, 0.01, 160); });
    ExpectError(ErrorKind::kUsage, "number of steps", [&] { schedule(-1, 0.01, 160); });
    ExpectError(ErrorKind::kUsage, "10000", [&] { schedule(1000000000, 0.01, 160); });
  }
  ExpectError(ErrorKind::kUsage, "noise levels", [] { KarrasSigmas(5, 1, 1); });
  ExpectError(ErrorKind::kUsage, "noise levels", [] { ExponentialSigmas(5, 0, 1); });
  ExpectError(ErrorKind::kUsage, "noise levels", [] { ExponentialSigmas(5, 0.1, INFINITY); });
  ExpectError(ErrorKind::kUsage, "noise levels", [] { KarrasSigmas(5, std::nan(""), 1); });
  ExpectError(ErrorKind::kUsage, "vp", [] { VpSigmas(5, 19.9, 0.1, 1); });
  // Noise that no f32 holds, and levels that do not fall.
  for (const std::string method :
       {"time_uniform:beta_start=0.9,beta_end=1e-6", "time_uniform:beta_start=0.9,beta_end=0.9",
        "polyexponential:rho=100"}) {
    ExpectError(ErrorKind::kUsage, "schedule " + method + ": noise level",
                [&] { MakeSchedule(method)(10000, 0.01, 160); });
  }
}

TEST(CosineInterpolated, RunsFromTheLargestToTheSmallestLevel) {
  const CosineInterpolated levels{256, 32, 256, 0.5, 1e-3, 1e3};
  EXPECT_NEAR(levels.SigmaAt(0), 1e3, 1e-6);
  EXPECT_NEAR(levels.SigmaAt(1), 1e-3, 1e-12);
  for (double u = 0.01; u < 1; u += 0.01) EXPECT_LT(levels.SigmaAt(u), levels.SigmaAt(u - 0.01));
}

TEST(CosineInterpolated, IsThePlainCosineScheduleAtItsOwnSize) {
  const CosineInterpolated levels{32, 32, 32, 0.5, 1e-9, 1e9};
  EXPECT_NEAR(levels.SigmaAt(0.5), 0.5, 1e-6);
  EXPECT_NEAR(levels.SigmaAt(0.25), 0.5 * std::tan(0.75 * std::acos(0.0)), 1e-6);
}

}  // namespace
}  // namespace gesso
