// Counts what the heap gives out between the steps of a run: nothing, for all state lies in the
// arena.
#include <atomic>
#include <cstdlib>
#include <new>

#include "samplers/guidance.h"
#include "samplers/inpainting/registry.h"
#include "samplers/parameterisation.h"
#include "samplers/tiled_denoiser.h"
#include "tests/samplers/support.h"

namespace {
std::atomic<int64_t> allocations{0};
}

void* operator new(size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes)) return block;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t /*bytes*/) noexcept { std::free(block); }

namespace gesso {
namespace {

void ShrinkingNetwork(Context& /*ctx*/, ConstView x, std::span<const double> /*sigmas*/, View out) {
  for (int64_t i = 0; i < x.numel(); ++i) out.Data<float>()[i] = 0.3F * x.Data<float>()[i];
}

TEST(Samplers, AllocateNothingAfterTheirFirstStep) {
  for (const SamplerInfo& info : Samplers()) {
    TestContext test;
    KarrasDenoiser both(ShrinkingNetwork, 0.5);
    KarrasDenoiser conditional(ShrinkingNetwork, 0.5);
    GuidedDenoiser denoiser(both, conditional, {.scale = 3, .rescale = 0.5});
    const auto noise = MakeNoise(info.noise, {1, 2});
    Tensor x = testing_support::RandomTensor({2, 3, 8, 8}, 1, DType::kF32, 10);
    const std::vector<double> sigmas = MakeSchedule("karras")(20, 0.1, 10);
    int64_t steps = 0;
    int64_t after_first = 0;
    int64_t after_last = 0;
    MakeSampler(info.name)(test.ctx, {.denoiser = denoiser,
                                      .x = x.mutable_view(),
                                      .sigmas = sigmas,
                                      .noise = *noise,
                                      .observer = [&](const SamplerStep& step) {
                                        if (step.index == 1) after_first = allocations;
                                        after_last = allocations;
                                        ++steps;
                                      }});
    EXPECT_GT(steps, 3) << info.name;
    EXPECT_GT(after_first, 0) << "the counter counts";
    EXPECT_EQ(after_last, after_first) << info.name;
  }
}

TEST(Inpainters, AllocateNothingBetweenSteps) {
  for (const InpainterInfo& info : Inpainters()) {
    TestContext test;
    KarrasDenoiser network(ShrinkingNetwork, 0.5);
    TiledDenoiser denoiser(network, {.height = 5, .width = 4, .overlap = 2});
    const PhiloxNoise noise({1, 2});
    const Tensor known({1, 3, 8, 8}, DType::kF32);
    const Tensor amount = testing_support::RandomTensor({8, 8}, 2);
    Tensor x = testing_support::RandomTensor({2, 3, 8, 8}, 1, DType::kF32, 10);
    const std::vector<double> sigmas = MakeSchedule("karras")(20, 0.1, 10);
    const Sampler sample = MakeSampler("dpmpp_2m");
    int64_t steps = 0;
    int64_t after_first = 0;
    int64_t after_last = 0;
    const SamplerRun run{denoiser, x.mutable_view(), sigmas, noise, [&](const SamplerStep& step) {
                           if (step.index == 1) after_first = allocations;
                           after_last = allocations;
                           ++steps;
                         }};
    MakeInpainter(info.name)(test.ctx,
                             {.sample = sample, .run = run, .known = known, .amount = amount});
    EXPECT_GE(steps, 20) << info.name;
    EXPECT_EQ(after_last, after_first) << info.name;
  }
}

}  // namespace
}  // namespace gesso
