// A step of inference takes its memory from the arena: the heap stays as it is.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "models/hdit/session.h"
#include "models/var/session.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace {
std::atomic<int64_t> allocations{0};
}

// Not inlined: the compiler would see free() at the end of a new expression, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace gesso::hdit {
namespace {

TEST(Allocation, AForwardPassTakesNothingFromTheHeap) {
  const Json config = Json::parse(R"({
    "model": {
      "type": "image_transformer_v2", "input_channels": 3, "input_size": [64, 64],
      "patch_size": [4, 4], "depths": [2, 1], "widths": [32, 64], "mapping_width": 32,
      "cross_attn_dim": 16, "cross_attns": [null, {"type": "text", "d_head": 32}],
      "self_attns": [{"type": "neighborhood", "d_head": 16}, {"type": "global", "d_head": 32}],
      "sigma_min": 0.01, "sigma_max": 80}})");
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Model shapes(ParseConfig(config));
    const auto model = Load(testing_support::RandomWeights(shapes, 1), config, Device::kCpu, dtype);
    Session session(model, {2, 3, 64, 64});
    const Tensor context = testing_support::RandomTensor({2, 5, 16}, 2);
    const Conditioning conditioning{.aug_cond = {},
                                    .class_cond = {},
                                    .mapping_cond = {},
                                    .context = context,
                                    .context_mask = {}};
    Arena arena(Device::kCpu, session.ArenaBytes(conditioning));
    Context ctx{.device = Device::kCpu, .arena = &arena};
    session.Condition(ctx, conditioning);
    const Tensor x = testing_support::RandomTensor({2, 3, 64, 64}, 1);
    Tensor out({2, 3, 64, 64}, DType::kF32);
    const std::vector<double> sigma = {1, 2};
    session.Forward(ctx, x, sigma, out.mutable_view());  // kernels may be made at the first use
    const int64_t before = allocations.load();
    session.Forward(ctx, x, sigma, out.mutable_view());
    EXPECT_EQ(allocations.load() - before, 0) << NameOf(dtype);
  }
}

}  // namespace
}  // namespace gesso::hdit

namespace gesso::var {
namespace {

TEST(Allocation, AScaleTakesNothingFromTheHeap) {
  const Json config = Json::parse(R"({"depth": 2, "embed_dim": 32, "num_heads": 2,
                                      "num_classes": 3, "patch_nums": [1, 2, 4]})");
  Weights sizes;
  sizes.tensors["head.weight"] = Tensor({20, 32}, DType::kF32);
  sizes.tensors["word_embed.weight"] = Tensor({32, 8}, DType::kF32);
  sizes.tensors["blocks.0.attn.scale_mul_1H11"] = Tensor({1, 2, 1, 1}, DType::kF32);
  Tensor labels({2}, DType::kI32);
  const Tensor input = testing_support::RandomTensor({1, 16, 8}, 1);
  Tensor logits({2, 16, 20}, DType::kF32);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Model shapes(ParseConfig(config, sizes));
    const auto model =
        Load(testing_support::RandomWeights(shapes, 1), shapes.config, Device::kCpu, dtype);
    Session session(model, 2);
    Arena arena(Device::kCpu, session.ArenaBytes({.labels = labels}));
    Context ctx{.device = Device::kCpu, .arena = &arena};
    const auto run = [&] {
      session.Begin(ctx, {.labels = labels});
      const int64_t before = allocations.load();
      for (int64_t scale = 0; scale < 3; ++scale) {
        const int64_t tokens = model->map(scale).tokens();
        const View out(logits.mutable_view().data, {2, tokens, 20}, DType::kF32);
        const ConstView codes(input.view().data, {1, tokens, 8}, DType::kF32);
        session.Forward(ctx, scale, scale == 0 ? ConstView() : codes, out);
      }
      return allocations.load() - before;
    };
    run();  // kernels may be made at the first use
    EXPECT_EQ(run(), 0) << NameOf(dtype);
  }
}

}  // namespace
}  // namespace gesso::var
