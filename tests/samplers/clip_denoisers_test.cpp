#include "samplers/clip_denoisers.h"

#include <gtest/gtest.h>

#include <set>

#include "samplers/diffusion/samplers.h"
#include "samplers/registry.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::RandomTensor;
using testing_support::SameBits;

const Shape kShape = {1, 2, 5, 2, 3};

// Estimates a frame as `value` + the number of its place in time, and counts its calls.
class Ramp : public Denoiser {
 public:
  explicit Ramp(float value) : value_(value) {}

  void Denoise(Context& /*ctx*/, ConstView x, double /*sigma*/, View denoised) override {
    ++calls;
    seen = Cast(x, DType::kF32);
    const int64_t area = x.shape[3] * x.shape[4];
    for (int64_t i = 0; i < x.numel(); ++i) {
      const auto frame = static_cast<float>(i / area % x.shape[2]);
      denoised.Data<float>()[i] = value_ + frame;
    }
  }

  int calls = 0;
  Tensor seen;

 private:
  float value_;
};

// Gives x back.
class Same : public Denoiser {
 public:
  void Denoise(Context& /*ctx*/, ConstView x, double /*sigma*/, View denoised) override {
    std::memcpy(denoised.data, x.data, x.bytes());
  }
};

float At(const Tensor& clip, int64_t channel, int64_t frame, int64_t pixel = 0) {
  const Shape& s = clip.shape();
  return clip.Data<float>()[(channel * s[2] + frame) * s[3] * s[4] + pixel];
}

Tensor Estimate(Denoiser& denoiser, const Tensor& x) {
  Arena arena(Device::kCpu, 1 << 16);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  Tensor out(x.shape(), DType::kF32);
  denoiser.Denoise(ctx, x, 1, out.mutable_view());
  return out;
}

TEST(HeldFrames, MixesKnownFramesByTheirWeights) {
  Ramp ramp(10);
  const Tensor known = RandomTensor(kShape, 1);
  HeldFrames held(ramp, known, {1, 0.25f, 0, 0, 1});
  const Tensor out = Estimate(held, RandomTensor(kShape, 2));
  for (int64_t c = 0; c < 2; ++c) {
    for (int64_t p = 0; p < 6; ++p) {
      EXPECT_EQ(At(out, c, 0, p), At(known, c, 0, p));
      EXPECT_FLOAT_EQ(At(out, c, 1, p), 0.25f * At(known, c, 1, p) + 0.75f * 11);
      EXPECT_EQ(At(out, c, 2, p), 12);
      EXPECT_EQ(At(out, c, 3, p), 13);
      EXPECT_EQ(At(out, c, 4, p), At(known, c, 4, p));
    }
  }
  testing_support::ExpectError(ErrorKind::kShape, "2 weights", [&] {
    HeldFrames(ramp, known, {1, 0});
  });
}

// The frames held keep to known + sigma noise on the whole way, and end as what is known.
TEST(HeldFrames, EndAsKnownWithEverySampler) {
  const Tensor known = RandomTensor(kShape, 1);
  const Tensor noise = RandomTensor(kShape, 2);
  const std::vector<double> sigmas = {10, 3, 1, 0.3, 0.01, 0};
  for (const SamplerInfo& info : Samplers()) {
    if (info.name == "euler_maruyama") continue;  // needs hundreds of steps to come near anything
    Tensor x(kShape, DType::kF32);
    for (int64_t i = 0; i < kShape.numel(); ++i) {
      x.MutableData<float>()[i] = known.Data<float>()[i] + 10 * noise.Data<float>()[i];
    }
    Ramp ramp(0);
    HeldFrames held(ramp, known, {0, 1, 0, 1, 0});
    Arena arena(Device::kCpu, 1 << 20);
    Context ctx{.device = Device::kCpu, .arena = &arena};
    const auto source = MakeNoise(info.noise, {7});
    MakeSampler(info.name)(ctx, {held, x.mutable_view(), sigmas, *source});
    // These two end at the smallest level but 0 and leave its noise.
    const bool leaves_noise = info.name == "dpm_fast" || info.name == "dpm_adaptive";
    const double most = leaves_noise ? 0.05 : 1e-4;
    for (int64_t p = 0; p < 6; ++p) {
      EXPECT_NEAR(At(x, 1, 1, p), At(known, 1, 1, p), most) << info.name;
      EXPECT_NEAR(At(x, 0, 3, p), At(known, 0, 3, p), most) << info.name;
    }
  }
}

TEST(FrameChoice, TakesEachFrameFromItsPart) {
  Ramp first(100);
  Ramp second(200);
  Ramp unused(300);
  FrameChoice choice({&first, &second, &unused}, {0, 0, 1, 1, 0});
  const Tensor out = Estimate(choice, RandomTensor(kShape, 1));
  for (int64_t c = 0; c < 2; ++c) {
    EXPECT_EQ(At(out, c, 0), 100);
    EXPECT_EQ(At(out, c, 1), 101);
    EXPECT_EQ(At(out, c, 2), 202);
    EXPECT_EQ(At(out, c, 3), 203);
    EXPECT_EQ(At(out, c, 4), 104);
  }
  EXPECT_EQ(unused.calls, 0);
  FrameChoice same({&first, &second}, {1, 1, 1, 1, 1});
  EXPECT_EQ(At(Estimate(same, RandomTensor(kShape, 1)), 0, 4), 204);
  EXPECT_EQ(first.calls, 1);
}

TEST(RolledFrames, ShowsEveryRotationAndTurnsTheEstimateBack) {
  const Tensor x = RandomTensor(kShape, 1);
  Same same;
  RolledFrames still(same);
  for (int call = 0; call < 6; ++call) EXPECT_TRUE(SameBits(Estimate(still, x), x)) << call;
  Ramp ramp(0);
  RolledFrames rolled(ramp);
  std::set<float> firsts;
  for (int call = 0; call < 5; ++call) {
    const Tensor out = Estimate(rolled, x);
    // Frame t was shown at place (t + shift) mod 5, and its estimate is the number of that place.
    const auto shift = static_cast<int64_t>(At(out, 0, 0));
    firsts.insert(At(out, 0, 0));
    for (int64_t t = 0; t < 5; ++t) {
      EXPECT_EQ(At(out, 1, t), static_cast<float>((t + shift) % 5));
      EXPECT_EQ(At(ramp.seen, 1, (t + shift) % 5, 4), At(x, 1, t, 4));
    }
  }
  EXPECT_EQ(firsts.size(), 5u);
}

TEST(DrawFrames, DependsOnSeedAndFrameAlone) {
  Arena arena(Device::kCpu, 64);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  Tensor one(kShape, DType::kF32);
  Tensor other(kShape, DType::kF32);
  const std::vector<int64_t> frames = {0, 1, 2, 3, 4};
  const std::vector<int64_t> later = {3, 4, 5, 6, 0};
  DrawFrames(ctx, 9, frames, one.mutable_view());
  DrawFrames(ctx, 9, later, other.mutable_view());
  for (int64_t c = 0; c < 2; ++c) {
    EXPECT_EQ(At(one, c, 3, 5), At(other, c, 0, 5));
    EXPECT_EQ(At(one, c, 4, 2), At(other, c, 1, 2));
    EXPECT_EQ(At(one, c, 0, 1), At(other, c, 4, 1));
  }
  EXPECT_NE(At(one, 0, 0), At(one, 1, 0));
  EXPECT_NE(At(one, 0, 0), At(one, 0, 1));
  DrawFrames(ctx, 10, frames, other.mutable_view());
  EXPECT_NE(At(one, 0, 0), At(other, 0, 0));
}

}  // namespace
}  // namespace gesso
