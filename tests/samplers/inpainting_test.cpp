// In-painting of data whose distribution is known exactly, and against the published loops written
// out.
#include "samplers/inpainting/inpainters.h"

#include <fmt/format.h>

#include <numeric>

#include "samplers/diffusion/samplers.h"
#include "samplers/inpainting/registry.h"
#include "tests/samplers/support.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::RandomTensor;

const std::vector<double> kSigmas = {10, 5, 2, 1, 0.5, 0.2, 0};

// A picture [1, 2, 3, 4] that is painted in by one of the smooth mixture's distribution, twice.
struct Case {
  Tensor known = RandomTensor({1, 2, 3, 4}, 3, DType::kF32, 0.3F);
  Tensor amount{{3, 4}, DType::kF32};
  std::vector<uint64_t> seeds = {7, 8};

  explicit Case(const std::vector<float>& amounts) {
    for (size_t i = 0; i < 12; ++i) amount.MutableData<float>()[i] = amounts[i % amounts.size()];
  }

  // known + sigma * noise of the seeds.
  Tensor Noisy(double sigma) const {
    TestContext test;
    Tensor x({static_cast<int64_t>(seeds.size()), 2, 3, 4}, DType::kF32);
    DrawStart(test.ctx, seeds, x.mutable_view());
    for (int64_t i = 0; i < x.shape().numel(); ++i) {
      float& value = x.MutableData<float>()[i];
      value = known.Data<float>()[i % 24] + static_cast<float>(sigma) * value;
    }
    return x;
  }

  Tensor Paint(const std::string& method, const std::string& sampler,
               const Observer& observer = nullptr) const {
    TestContext test;
    MixtureDenoiser mixture = SmoothMixture();
    Tensor x = Noisy(kSigmas.front());
    const auto noise = MakeNoise(FindSampler(sampler).noise, seeds);
    const Sampler sample = MakeSampler(sampler);
    const void* mark = test.Mark();
    const SamplerRun run{mixture, x.mutable_view(), kSigmas, *noise, observer};
    MakeInpainter(method)(test.ctx,
                          {.sample = sample, .run = run, .known = known, .amount = amount});
    EXPECT_EQ(test.Mark(), mark);
    return x;
  }
};

void ExpectClose(const Tensor& a, const Tensor& b, float tolerance) {
  for (int64_t i = 0; i < a.shape().numel(); ++i) {
    EXPECT_NEAR(a.Data<float>()[i], b.Data<float>()[i], tolerance) << i;
  }
}

// The published way with Euler's steps: at every step x is put to known + sigma * noise in pixels
// for which is_held(step, amount) says so. Unlike ours it gives what is kept to the last step.
template <class IsHeld>
Tensor PaintByPublishedLoop(const Case& job, const IsHeld& is_held) {
  TestContext test;
  MixtureDenoiser mixture = SmoothMixture();
  Tensor x = job.Noisy(kSigmas.front());
  Tensor denoised(x.shape(), DType::kF32);
  for (size_t step = 0; step + 1 < kSigmas.size(); ++step) {
    const Tensor noisy = job.Noisy(kSigmas[step]);
    for (int64_t i = 0; i < x.shape().numel(); ++i) {
      if (is_held(step, job.amount.Data<float>()[i % 12])) {
        x.MutableData<float>()[i] = noisy.Data<float>()[i];
      }
    }
    mixture.Denoise(test.ctx, x, kSigmas[step], denoised.mutable_view());
    const auto share = static_cast<float>(kSigmas[step + 1] / kSigmas[step]);
    for (int64_t i = 0; i < x.shape().numel(); ++i) {
      float& value = x.MutableData<float>()[i];
      value = share * value + (1 - share) * denoised.Data<float>()[i];
    }
  }
  return x;
}

// Puts what is known back where the amount is below the threshold.
void Keep(const Case& job, float threshold, Tensor& x) {
  for (int64_t i = 0; i < x.shape().numel(); ++i) {
    const bool is_kept = job.amount.Data<float>()[i % 12] < threshold;
    if (is_kept) x.MutableData<float>()[i] = job.known.Data<float>()[i % 24];
  }
}

TEST(Inpainters, ReplacementIsThePublishedLoop) {
  const Case job({0, 1, 1, 0.5f, 0.49f});
  for (const float threshold : {0.5f, 0.25f}) {
    Tensor want =
        PaintByPublishedLoop(job, [&](size_t, float amount) { return amount < threshold; });
    Keep(job, threshold, want);
    ExpectClose(job.Paint(fmt::format("replace:threshold={}", threshold), "euler"), want, 2e-5F);
  }
}

TEST(Inpainters, DifferentialDiffusionIsThePublishedLoop) {
  const Case job({0, 1, 0.6f, 0.3f, 0.1f});
  // A map of 1 - amount, compared with step / steps.
  Tensor want = PaintByPublishedLoop(
      job, [](size_t step, float amount) { return 1 - amount > static_cast<float>(step) / 6.0f; });
  Keep(job, 0.01f, want);
  ExpectClose(job.Paint("differential", "euler"), want, 2e-5F);
}

TEST(Inpainters, KeepWhatIsKeptWithEverySampler) {
  const Case job({0, 1, 1, 0, 1});
  for (const InpainterInfo& info : Inpainters()) {
    const std::string method = info.name + (info.name == "repaint" ? ":jump_length=2" : "");
    for (const SamplerInfo& sampler : Samplers()) {
      if (sampler.name == "euler_maruyama") continue;  // needs hundreds of steps
      const Tensor painted = job.Paint(method, sampler.name);
      for (int64_t i = 0; i < painted.shape().numel(); ++i) {
        const float known = job.known.Data<float>()[i % 24];
        const float value = painted.Data<float>()[i];
        if (job.amount.Data<float>()[i % 12] == 0) {
          // dpm_fast and dpm_adaptive leave the noise of the last level.
          EXPECT_NEAR(value, known, sampler.name.starts_with("dpm_") ? 0.8 : 2e-6)
              << method << " " << sampler.name << " " << i;
        } else {
          EXPECT_NE(value, known) << method << " " << sampler.name << " " << i;
        }
      }
    }
  }
}

TEST(Inpainters, PaintEverythingAsIfThereWereNoMask) {
  const Case job({1});
  const std::string sampler = "dpmpp_2m_sde";
  Tensor plain = job.Noisy(kSigmas.front());
  TestContext test;
  MixtureDenoiser mixture = SmoothMixture();
  const auto noise = MakeNoise(FindSampler(sampler).noise, job.seeds);
  MakeSampler(sampler)(test.ctx, {mixture, plain.mutable_view(), kSigmas, *noise});
  for (const std::string method : {"replace", "differential", "repaint:jump_n_sample=1"}) {
    EXPECT_TRUE(testing_support::SameBits(job.Paint(method, sampler), plain)) << method;
  }
}

TEST(Inpainters, AreNamedWithTheirChoices) {
  ExpectError(ErrorKind::kUsage,
              "no inpainter 'magic' (inpainters: replace, repaint, differential)",
              [] { MakeInpainter("magic"); });
  ExpectError(ErrorKind::kUsage, "inpaint repaint", [] { MakeInpainter("repaint:jump=2"); });
  ExpectError(ErrorKind::kUsage, "inpaint replace", [] { MakeInpainter("replace:threshold=2"); });
}

// Two numbers that are always the same, 1 or -1: what is left is known, what is right follows.
// Counts how often it is further from that than four standard deviations, over 256 pictures.
int CountMisfits(const std::string& method) {
  Tensor means({2, 1, 1, 2}, DType::kF32);
  for (int64_t i = 0; i < 4; ++i) means.MutableData<float>()[i] = i < 2 ? 1.0F : -1.0F;
  Tensor stds({2}, DType::kF32);
  Tensor weights({2}, DType::kF32);
  for (int64_t i = 0; i < 2; ++i) {
    stds.MutableData<float>()[i] = 0.1F;
    weights.MutableData<float>()[i] = 0.5F;
  }
  MixtureDenoiser pairs(means, stds, weights);
  std::vector<uint64_t> seeds(256);
  std::iota(seeds.begin(), seeds.end(), 1);
  TestContext test;
  Tensor known({1, 1, 1, 2}, DType::kF32);
  known.MutableData<float>()[0] = 1;
  known.MutableData<float>()[1] = -1;  // what there was before must not matter
  Tensor amount({1, 2}, DType::kF32);
  amount.MutableData<float>()[1] = 1;
  Tensor x({256, 1, 1, 2}, DType::kF32);
  DrawStart(test.ctx, seeds, x.mutable_view());
  const std::vector<double> sigmas = MakeSchedule("karras")(20, 0.05, 20);
  for (int64_t i = 0; i < 512; ++i) {
    x.MutableData<float>()[i] = 20 * x.Data<float>()[i] + known.Data<float>()[i % 2];
  }
  const PhiloxNoise noise(seeds);
  const Sampler sample = MakeSampler("euler_ancestral");
  const SamplerRun run{pairs, x.mutable_view(), sigmas, noise};
  MakeInpainter(method)(test.ctx, {.sample = sample, .run = run, .known = known, .amount = amount});
  int misfits = 0;
  for (int64_t i = 0; i < 256; ++i) {
    EXPECT_EQ(x.Data<float>()[2 * i], 1.0F);
    if (std::abs(x.Data<float>()[2 * i + 1] - 1) > 0.4F) ++misfits;
  }
  return misfits;
}

TEST(Inpainters, FitTheRestAndResamplingFitsItBetter) {
  const int replaced = CountMisfits("replace");
  const int resampled = CountMisfits("repaint:jump_length=4,jump_n_sample=8");
  EXPECT_LT(replaced, 64) << "of 128 by chance";
  EXPECT_GT(replaced, 4) << "replacement is only near to the truth";
  EXPECT_LT(resampled, replaced / 4);
}

TEST(Repaint, GoesTheOfficialWay) {
  // get_schedule_jump(t_T=6, jump_length=2, jump_n_sample=2): 5 4 3 2 | 3 4 | 3 2 1 0 | 1 2 | 1 0
  // -1
  const std::vector<std::pair<int64_t, int64_t>> six = {{0, 3}, {1, 5}, {3, 6}};
  EXPECT_EQ(RepaintMoves(6, {.jump_length = 2, .jump_n_sample = 2}), six);
  // t_T=4, jump_length=2, jump_n_sample=3: 3 2 1 0 | 1 2 | 1 0 | 1 2 | 1 0 -1
  const std::vector<std::pair<int64_t, int64_t>> four = {{0, 3}, {1, 3}, {1, 4}};
  EXPECT_EQ(RepaintMoves(4, {.jump_length = 2, .jump_n_sample = 3}), four);
  const std::vector<std::pair<int64_t, int64_t>> straight = {{0, 5}};
  EXPECT_EQ(RepaintMoves(5, {.jump_length = 5, .jump_n_sample = 9}), straight);
  EXPECT_EQ(RepaintMoves(5, {.jump_length = 1, .jump_n_sample = 1}), straight);
}

TEST(Repaint, TellsHowFarItIs) {
  const Case job({1, 0});
  std::vector<int64_t> indices;
  std::vector<double> levels;
  double progress = -1;
  job.Paint("repaint:jump_length=2,jump_n_sample=2", "euler", [&](const SamplerStep& step) {
    indices.push_back(step.index);
    levels.push_back(step.sigma);
    EXPECT_EQ(step.count, 10);
    EXPECT_GT(step.progress, progress);
    progress = step.progress;
  });
  EXPECT_EQ(indices, std::vector<int64_t>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(levels, std::vector<double>({10, 5, 2, 5, 2, 1, 0.5, 1, 0.5, 0.2}));
  EXPECT_NEAR(progress, 0.9, 1e-9);
}

TEST(StepsBehind, AreThoseOfTheSchedule) {
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_DOUBLE_EQ(StepsBehind(kSigmas, kSigmas[i]), static_cast<double>(i) / 6);
  }
  EXPECT_DOUBLE_EQ(StepsBehind(kSigmas, 7.5), 0.5 / 6);
  EXPECT_DOUBLE_EQ(StepsBehind(kSigmas, 11), 0);
  EXPECT_DOUBLE_EQ(StepsBehind(std::vector<double>{3, 1}, 1), 1);
}

}  // namespace
}  // namespace gesso
