// What all samplers have in common. Their values are checked by the parity cases.
#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/core/parallel.h"
#include "kernels/core/rng.h"
#include "samplers/schedules.h"
#include "tests/samplers/support.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::RmsError;
using testing_support::SameBits;

std::vector<std::string> SamplerNames() {
  std::vector<std::string> names;
  for (const SamplerInfo& info : Samplers()) names.push_back(info.name);
  return names;
}

class EverySampler : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Samplers, EverySampler, ::testing::ValuesIn(SamplerNames()),
                         [](const auto& sampler) { return sampler.param; });

TEST_P(EverySampler, OneStepGivesTheEstimate) {
  if (GetParam() == "euler_maruyama") GTEST_SKIP() << "its steps are straight in another time";
  MixtureDenoiser mixture = SmoothMixture();
  TestContext test;
  Tensor x({2, 2, 3, 4}, DType::kF32);
  const std::vector<uint64_t> seeds = {7, 8};
  DrawStart(test.ctx, seeds, x.mutable_view());
  Tensor want(x.shape(), DType::kF32);
  mixture.Denoise(test.ctx, x, 1, want.mutable_view());
  EXPECT_LT(RmsError(SamplePictures(GetParam(), {.sigmas = {1, 0}}), want), 1e-6);
}

TEST_P(EverySampler, PicturesDoNotDependOnTheBatch) {
  const Tensor both = SamplePictures(GetParam(), {.seeds = {7, 8}});
  const Tensor first = SamplePictures(GetParam(), {.seeds = {7}});
  const Tensor second = SamplePictures(GetParam(), {.seeds = {8}});
  const bool independent = !FindSampler(GetParam()).couples_batch;
  EXPECT_EQ(SameBits(both.view().Slice(0, 0, 1), first), independent);
  EXPECT_EQ(SameBits(both.view().Slice(0, 1, 2), second), independent);
  EXPECT_GT(RmsError(first, second), 0.1) << "another seed, another picture";
}

TEST_P(EverySampler, PicturesDoNotDependOnTheNumberOfThreads) {
  const auto sample = [&](int threads) {
    SetNumThreads(threads);
    TestContext test;
    FunctionDenoiser denoiser([](ConstView x, double sigma, View denoised) {
      const auto damping = static_cast<float>(1 / (1 + sigma));
      for (int64_t i = 0; i < x.numel(); ++i) {
        denoised.Data<float>()[i] = damping * std::sin(x.Data<float>()[i]);
      }
    });
    Tensor x = testing_support::RandomTensor({1, 40000}, 3, DType::kF32, 2);  // many tasks an op
    const auto noise = MakeNoise(FindSampler(GetParam()).noise, {7});
    const std::vector<double> sigmas = {2, 1.5, 1, 0};
    MakeSampler(GetParam())(
        test.ctx, {.denoiser = denoiser, .x = x.mutable_view(), .sigmas = sigmas, .noise = *noise});
    return x;
  };
  const int threads = NumThreads();
  const Tensor one = sample(1);
  const Tensor three = sample(3);
  SetNumThreads(threads);
  EXPECT_TRUE(SameBits(one, three));
}

TEST_P(EverySampler, ShowsEachStepOnce) {
  std::vector<SamplerStep> steps;
  RunSettings settings;
  settings.observer = [&](const SamplerStep& step) { steps.push_back(step); };
  SamplePictures(GetParam(), settings);
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps[0].progress, 0);
  EXPECT_NEAR(steps[0].sigma, 10, 1e-12);
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].index, static_cast<int64_t>(i));
    if (steps[i].count > 0) {
      EXPECT_EQ(steps[i].count, static_cast<int64_t>(steps.size()));
    }
    if (i == 0) continue;
    EXPECT_GE(steps[i].progress, steps[i - 1].progress);
    EXPECT_LE(steps[i].sigma, steps[i - 1].sigma);
    EXPECT_LT(steps[i].progress, 1);
  }
}

TEST_P(EverySampler, CancelledRunGivesItsMemoryBack) {
  TestContext test;
  MixtureDenoiser mixture = SmoothMixture();
  const PhiloxNoise noise({1});
  Tensor x = testing_support::RandomTensor({1, 2, 3, 4}, 3, DType::kF32, 10);
  const std::vector<double> sigmas = {10, 5, 2, 1, 0.5, 0.2, 0};
  const void* before = test.Mark();
  const auto run = [&] {
    MakeSampler(GetParam())(test.ctx, {.denoiser = mixture,
                                       .x = x.mutable_view(),
                                       .sigmas = sigmas,
                                       .noise = noise,
                                       .observer = [](const SamplerStep& step) {
                                         Require(step.index < 1, ErrorKind::kCancelled, "stop");
                                       }});
  };
  ExpectError(ErrorKind::kCancelled, "stop", run);
  EXPECT_EQ(test.Mark(), before);
}

// Passes over pictures outside the model, and calls of it.
std::pair<int64_t, int64_t> PassesAndCalls(const std::string& method) {
  TestContext test;
  Profiler profiler;
  test.ctx.profiler = &profiler;
  MixtureDenoiser mixture = SmoothMixture();
  FunctionDenoiser denoiser([&](ConstView x, double sigma, View denoised) {
    mixture.Denoise(test.ctx, x, sigma, denoised);
  });
  const auto noise = MakeNoise(FindSampler(method.substr(0, method.find(':'))).noise, {1, 2, 3});
  Tensor x = testing_support::RandomTensor({3, 2, 3, 4}, 3, DType::kF32, 10);
  const std::vector<double> sigmas = {10, 5, 2, 1, 0.5, 0.2, 0};
  MakeSampler(method)(
      test.ctx, {.denoiser = denoiser, .x = x.mutable_view(), .sigmas = sigmas, .noise = *noise});
  int64_t passes = 0;
  for (const auto& [op, entry] : profiler.entries()) {
    if (!op.starts_with("scaled_error")) passes += entry.calls;
  }
  return {passes, denoiser.calls};
}

TEST_P(EverySampler, MovesInOnePassAModelCall) {
  const auto [passes, calls] = PassesAndCalls(GetParam());
  if (GetParam() == "dpm_adaptive") {  // two results an attempt, to be compared
    EXPECT_LT(passes, 2 * calls);
  } else {
    EXPECT_EQ(passes, calls);
  }
}

TEST(Samplers, AddTheNoiseOfChurnOnTheWay) {
  for (const std::string name : {"euler", "heun", "dpm_2"}) {
    const auto [passes, calls] = PassesAndCalls(name + ":s_churn=5");
    EXPECT_EQ(passes, calls + 1) << name << ": before the first step on its own";
  }
}

TEST_P(EverySampler, DryRunKnowsTheMemory) {
  const auto peak = [&](Device device) {
    Arena arena(device, size_t{1} << 20);
    Context ctx{.device = device, .arena = &arena};
    MixtureDenoiser mixture = SmoothMixture();
    const auto noise = MakeNoise(FindSampler(GetParam()).noise, {1, 2});
    const View x = arena.Alloc({2, 2, 3, 4}, DType::kF32);
    if (device == Device::kCpu) std::fill_n(x.Data<float>(), x.numel(), 1.0F);
    const std::vector<double> sigmas = KarrasSigmas(12, 0.1, 10);
    MakeSampler(GetParam())(ctx, {.denoiser = mixture, .x = x, .sigmas = sigmas, .noise = *noise});
    return arena.peak_bytes();
  };
  EXPECT_EQ(peak(Device::kMeta), peak(Device::kCpu));
}

TEST_P(EverySampler, EveryOptionMatters) {
  // Values away from the defaults, and what else must be set for an option to have an effect.
  const std::map<std::string, std::string> changes = {
      {"s_churn", "s_churn=3"},
      {"s_tmin", "s_churn=3,s_tmin=1.5"},
      {"s_tmax", "s_churn=3,s_tmax=1.5"},
      {"eta", "eta=0.5"},
      {"s_noise", "s_noise=0.8"},
      {"order", "order=2"},
      {"r", "r=0.4"},
      {"solver_type", "solver_type=heun"},
      {"prediction", "prediction=noise"},
      {"beta_d", "beta_d=10"},
      {"beta_min", "beta_min=0.3"},
      {"rtol", "rtol=0.005"},
      {"atol", "atol=0.0001"},
      {"h_init", "h_init=0.5"},
      {"pcoeff", "pcoeff=0.3"},
      {"icoeff", "icoeff=0.8"},
      {"dcoeff", "dcoeff=0.1"},
      {"accept_safety", "accept_safety=0.999,h_init=2"}};
  const std::map<std::string, std::string> base = {
      {"s_tmin", "s_churn=3"}, {"s_tmax", "s_churn=3"}, {"accept_safety", "h_init=2"}};
  for (const OptionInfo& option : FindSampler(GetParam()).options) {
    SCOPED_TRACE(option.name);
    ASSERT_TRUE(changes.contains(option.name));
    std::string changed = changes.at(option.name);
    std::string plain = base.contains(option.name) ? base.at(option.name) : "";
    if (option.name == "s_noise") {  // needs noise
      const std::string noisy =
          GetParam() == "euler" || GetParam() == "heun" || GetParam() == "dpm_2" ? "s_churn=3"
                                                                                 : "eta=0.7";
      plain = noisy;
      changed += "," + noisy;
    }
    const Tensor a = SamplePictures(GetParam() + ":" + plain);
    const Tensor b = SamplePictures(GetParam() + ":" + changed);
    EXPECT_GT(RmsError(a, b), 1e-6);
  }
}

TEST_P(EverySampler, RefusesMalformedSchedules) {
  const double nan = std::nan("");
  const std::vector<std::vector<double>> malformed = {
      {}, {1}, {1, 1, 0}, {1, 2, 0}, {1, 0, 0}, {1, -1}, {nan, 0}, {2, nan, 0}, {INFINITY, 1, 0}};
  for (const std::vector<double>& sigmas : malformed) {
    TestContext test;
    MixtureDenoiser mixture = SmoothMixture();
    const PhiloxNoise noise({1});
    Tensor x({1, 2, 3, 4}, DType::kF32);
    ExpectError(ErrorKind::kUsage, "schedule", [&] {
      MakeSampler(GetParam())(
          test.ctx, {.denoiser = mixture, .x = x.mutable_view(), .sigmas = sigmas, .noise = noise});
    });
  }
}

// Where theory says that two samplers are one.
TEST(Samplers, AreEachOtherWithoutNoise) {
  const std::vector<std::pair<std::string, std::string>> same = {
      {"euler_ancestral:eta=0", "euler"},
      {"dpm_2_ancestral:eta=0", "dpm_2"},
      {"dpmpp_sde:eta=0", "dpmpp_2s_ancestral:eta=0"},
      {"dpmpp_2m_sde:eta=0", "dpmpp_2m"},
      {"lms:order=1", "euler"},
      {"dpm_singlestep:order=1", "euler"},
      {"dpm_singlestep:order=1,prediction=noise", "euler"},
      {"euler:s_churn=3,s_tmin=100", "euler"}};
  for (const auto& [a, b] : same) {
    EXPECT_LT(RmsError(SamplePictures(a), SamplePictures(b)), 1e-6) << a << " and " << b;
  }
}

TEST(Samplers, ReachTheOrderOfAccuracy) {
  // Without noise, from sigma 5 to 0.5 in n steps against a very fine run; halving the steps must
  // divide the error by nearly 2^order. Multistep samplers start with a first-order step, whose
  // error of order 2 remains.
  const std::map<std::string, double> orders = {{"euler", 1},
                                                {"heun", 2},
                                                {"dpm_2", 2},
                                                {"lms", 2},
                                                {"dpm_fast", 2},
                                                {"dpm_singlestep", 2.5},
                                                {"dpm_singlestep:prediction=noise", 2.5},
                                                {"dpm_singlestep:order=2", 2},
                                                {"dpmpp_2m", 2},
                                                {"dpmpp_2s_ancestral:eta=0", 2},
                                                {"dpmpp_sde:eta=0,r=0.3", 2},
                                                {"dpmpp_2m_sde:eta=0,solver_type=heun", 2},
                                                {"dpmpp_3m_sde:eta=0", 2}};
  const auto sample = [](const std::string& method, int64_t n) {
    RunSettings settings;
    settings.sigmas = ExponentialSigmas(n + 1, 0.5, 5);
    settings.sigmas.pop_back();
    return SamplePictures(method, settings);
  };
  const Tensor truth = sample("dpm_2", 1000);
  for (const auto& [method, order] : orders) {
    const double coarse = RmsError(sample(method, 16), truth);
    const double fine = RmsError(sample(method, 32), truth);
    EXPECT_GT(std::log2(coarse / fine), order - 0.3) << method << " " << coarse << " " << fine;
    EXPECT_GT(fine, 1e-6) << method << ": rounding hides the order";
  }
}

TEST(DpmAdaptive, KeepsItsTolerance) {
  RunSettings settings;
  settings.sigmas = ExponentialSigmas(1001, 0.5, 5);
  settings.sigmas.pop_back();
  const Tensor truth = SamplePictures("dpm_2", settings);
  const double loose =
      RmsError(SamplePictures("dpm_adaptive:rtol=0.05,atol=0.05", settings), truth);
  const double tight =
      RmsError(SamplePictures("dpm_adaptive:rtol=0.0005,atol=0.0005", settings), truth);
  EXPECT_LT(loose, 0.05);
  EXPECT_LT(tight, 0.0005);
}

TEST(DpmAdaptive, StopsWhereItCannotGoOn) {
  TestContext test;
  const PhiloxNoise noise({1});
  Tensor x = testing_support::RandomTensor({1, 2, 3, 4}, 3, DType::kF32, 10);
  const std::vector<double> sigmas = {10, 0.1};
  const auto sample = [&](Denoiser& denoiser, const std::string& method) {
    MakeSampler(method)(
        test.ctx, {.denoiser = denoiser, .x = x.mutable_view(), .sigmas = sigmas, .noise = noise});
  };
  FunctionDenoiser broken([](ConstView, double, View denoised) {
    std::fill_n(denoised.Data<float>(), denoised.numel(), std::nanf(""));
  });
  ExpectError(ErrorKind::kFormat, "not finite", [&] { sample(broken, "dpm_adaptive"); });
  // Not even a function of x: no step size makes its error small.
  FunctionDenoiser erratic([&](ConstView, double, View denoised) {
    FillNormal(denoised, 1, static_cast<uint64_t>(erratic.calls));
  });
  ExpectError(ErrorKind::kUsage, "cannot be kept", [&] {
    x = testing_support::RandomTensor({1, 2, 3, 4}, 3, DType::kF32, 10);
    sample(erratic, "dpm_adaptive:rtol=0,atol=1e-9");
  });
}

TEST(DpmFast, CallsTheModelOncePerStepOfTheSchedule) {
  for (int64_t n = 1; n <= 9; ++n) {
    TestContext test;
    FunctionDenoiser zero([](ConstView, double, View denoised) {
      std::fill_n(denoised.Data<float>(), denoised.numel(), 0.0F);
    });
    const PhiloxNoise noise({1});
    Tensor x = testing_support::RandomTensor({1, 2}, 3);
    const Tensor start = Cast(x, DType::kF32);
    std::vector<double> sigmas = KarrasSigmas(n + 1, 0.1, 10);
    sigmas.pop_back();
    MakeSampler("dpm_fast")(
        test.ctx, {.denoiser = zero, .x = x.mutable_view(), .sigmas = sigmas, .noise = noise});
    EXPECT_EQ(zero.calls, n);
    // With D = 0 every solver is exact: x shrinks with sigma.
    EXPECT_NEAR(x.Data<float>()[0], start.Data<float>()[0] * 0.01F, 1e-6);
  }
}

TEST(DpmSinglestep, CallsTheModelAtTheLevelsOfTheSchedule) {
  for (const bool to_zero : {false, true}) {
    for (size_t n = 1; n <= 9; ++n) {
      TestContext test;
      std::vector<double> calls;
      FunctionDenoiser zero([&](ConstView, double sigma, View denoised) {
        calls.push_back(sigma);
        std::fill_n(denoised.Data<float>(), denoised.numel(), 0.0F);
      });
      const PhiloxNoise noise({1});
      Tensor x = testing_support::RandomTensor({1, 2}, 3);
      const float start = x.Data<float>()[0];
      std::vector<double> sigmas = KarrasSigmas(static_cast<int64_t>(n) + 1, 0.1, 10);
      if (!to_zero) sigmas.pop_back();
      MakeSampler("dpm_singlestep")(
          test.ctx, {.denoiser = zero, .x = x.mutable_view(), .sigmas = sigmas, .noise = noise});
      ASSERT_EQ(calls.size(), sigmas.size() - 1);
      for (size_t i = 0; i < calls.size(); ++i) EXPECT_NEAR(calls[i], sigmas[i], 1e-9);
      // With D = 0 every solver is exact: x shrinks with sigma.
      EXPECT_NEAR(x.Data<float>()[0], to_zero ? 0 : start * 0.01F, 1e-6);
    }
  }
}

TEST(EulerMaruyama, IsTheStepOfTheProcess) {
  // From t = 0.5 to 0.4 with beta = 0.1 + 19.9 t, in terms of the process, whose x has unit power.
  const auto sigma_at = [](double t) { return std::sqrt(std::expm1(0.1 * t + 9.95 * t * t)); };
  const double sigma = sigma_at(0.5);
  const double next = sigma_at(0.4);
  constexpr double kX = 0.7;  // in the process
  constexpr double kNoise = -1.3;
  const double eps = 0.25;  // what the network would predict
  TestContext test;
  FunctionDenoiser denoiser([&](ConstView x, double level, View denoised) {
    denoised.Data<float>()[0] = x.Data<float>()[0] - static_cast<float>(level * eps);
  });
  Tensor recorded({1, 1, 1}, DType::kF32);
  recorded.MutableData<float>()[0] = static_cast<float>(kNoise);
  Tensor x({1, 1}, DType::kF32);
  x.MutableData<float>()[0] = static_cast<float>(kX * std::hypot(1, sigma));
  const std::vector<double> sigmas = {sigma, next};
  MakeSampler("euler_maruyama")(test.ctx, {.denoiser = denoiser,
                                           .x = x.mutable_view(),
                                           .sigmas = sigmas,
                                           .noise = ReplayNoise(recorded)});
  const double beta = 0.1 + 19.9 * 0.5;
  const double score = -eps / (sigma / std::hypot(1, sigma));
  const double want = kX + 0.1 * beta * (kX / 2 + score) + std::sqrt(0.1 * beta) * kNoise;
  EXPECT_NEAR(static_cast<double>(x.Data<float>()[0]) / std::hypot(1, next), want, 1e-5);
}

TEST(Registry, FindsByNameAndAlias) {
  EXPECT_EQ(FindSampler("euler_a").name, "euler_ancestral");
  EXPECT_EQ(FindSampler("dpm++2m").name, "dpmpp_2m");
  EXPECT_EQ(FindSampler("dpmpp_2m_sde:eta=0").name, "dpmpp_2m_sde");
  EXPECT_EQ(FindSchedule("karras:rho=5").name, "karras");
  ExpectError(ErrorKind::kUsage, "dpmpp_2m", [] { FindSampler("dpm++3000"); });
  ExpectError(ErrorKind::kUsage, "polyexponential", [] { FindSchedule(""); });
}

TEST(Registry, NamesAreUnique) {
  std::vector<std::string> names;
  for (const SamplerInfo& info : Samplers()) {
    EXPECT_FALSE(info.help.empty() || info.paper.empty()) << info.name;
    names.push_back(info.name);
    names.insert(names.end(), info.aliases.begin(), info.aliases.end());
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

TEST(Registry, RefusesOptionsThatDoNotExistOrFit) {
  ExpectError(ErrorKind::kUsage, "s_churn, s_tmin", [] { MakeSampler("euler:eta=1"); });
  ExpectError(ErrorKind::kUsage, "options: none", [] { MakeSampler("dpmpp_2m:eta=1"); });
  ExpectError(ErrorKind::kUsage, "not within", [] { MakeSampler("euler_a:eta=-1"); });
  ExpectError(ErrorKind::kUsage, "not within", [] { MakeSampler("euler_a:eta=nan"); });
  ExpectError(ErrorKind::kUsage, "not a number", [] { MakeSampler("euler_a:eta=1x"); });
  ExpectError(ErrorKind::kUsage, "whole number", [] { MakeSampler("lms:order=2.5"); });
  ExpectError(ErrorKind::kUsage, "midpoint, heun",
              [] { MakeSampler("dpmpp_2m_sde:solver_type=x"); });
  ExpectError(ErrorKind::kUsage, "twice", [] { MakeSampler("euler_a:eta=1,eta=0"); });
  ExpectError(ErrorKind::kUsage, "key=value", [] { MakeSampler("euler_a:eta"); });
  ExpectError(ErrorKind::kUsage, "schedule karras: ", [] { MakeSchedule("karras:rho=0"); });
}

}  // namespace
}  // namespace gesso
