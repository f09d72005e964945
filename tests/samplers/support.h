// How tests of samplers make models, noise and runs.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "samplers/mixture_denoiser.h"
#include "samplers/registry.h"
#include "tests/support/ops.h"

namespace gesso {

// A smooth mixture of three Gaussians over pictures of shape [2, 3, 4].
inline MixtureDenoiser SmoothMixture() {
  Tensor stds({3}, DType::kF32);
  Tensor weights({3}, DType::kF32);
  for (int64_t k = 0; k < 3; ++k) {
    stds.MutableData<float>()[k] = 0.5F + 0.1F * static_cast<float>(k);
    weights.MutableData<float>()[k] = 0.5F - 0.1F * static_cast<float>(k);
  }
  return MixtureDenoiser(testing_support::RandomTensor({3, 2, 3, 4}, 5, DType::kF32, 0.3F), stds,
                         weights);
}

// A denoiser that is any function.
class FunctionDenoiser : public Denoiser {
 public:
  using Function = std::function<void(ConstView x, double sigma, View denoised)>;
  explicit FunctionDenoiser(Function function) : function_(std::move(function)) {}

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override {
    ++calls;
    if (ctx.device != Device::kMeta) function_(x, sigma, denoised);
  }

  int64_t calls = 0;

 private:
  Function function_;
};

// Arena and context of a test.
struct TestContext {
  explicit TestContext(size_t bytes = size_t{4} << 20) : arena(Device::kCpu, bytes) {
    ctx.arena = &arena;
  }
  // Bytes in use: where the next tensor would lie.
  const void* Mark() {
    Arena::Scope scope(arena);
    return arena.Alloc({1}, DType::kF32).data;
  }
  Arena arena;
  Context ctx;
};

struct RunSettings {
  std::vector<double> sigmas = {10, 5, 2, 1, 0.5, 0.2, 0};
  std::vector<uint64_t> seeds = {7, 8};
  Observer observer = nullptr;
};

// The pictures [seeds, 2, 3, 4] that a sampler makes of the smooth mixture, from the noise of the
// seeds.
inline Tensor SamplePictures(const std::string& method, const RunSettings& settings = {}) {
  TestContext test;
  MixtureDenoiser mixture = SmoothMixture();
  Tensor x({static_cast<int64_t>(settings.seeds.size()), 2, 3, 4}, DType::kF32);
  DrawStart(test.ctx, settings.seeds, x.mutable_view());
  for (int64_t i = 0; i < x.shape().numel(); ++i) {
    x.MutableData<float>()[i] *= static_cast<float>(settings.sigmas.front());
  }
  const auto noise = MakeNoise(FindSampler(method).noise, settings.seeds);
  MakeSampler(method)(test.ctx, {.denoiser = mixture,
                                 .x = x.mutable_view(),
                                 .sigmas = settings.sigmas,
                                 .noise = *noise,
                                 .observer = settings.observer});
  return x;
}

}  // namespace gesso
