// Attention of next-scale transformers behind a norm that may be run as one op with the product.
#include "models/next_scale/attention.h"

#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::next_scale {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// Keeps all keys, but asks for queries of some tokens first.
class Asking : public Hooks {
 public:
  std::unique_ptr<Hooks> Fork(std::span<const int64_t>) const override { return nullptr; }
  std::span<const int32_t> QueryTokens(const Site&) const override { return kTokens; }
  ConstView RetainKeys(Context&, const Site&, ConstView queries, ConstView) override {
    seen = Cast(queries, DType::kF32);
    return {};
  }
  Tensor seen;

 private:
  static constexpr int32_t kTokens[] = {1, 4};
};

// What the hooks see and what is added to x in its place, of a norm or of rows that are normed
// already.
std::pair<Tensor, Tensor> QueriesAndSum(const SelfAttention& attention, bool normed_before) {
  Arena arena(Device::kCpu, size_t{1} << 16);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  Asking hooks;
  nn::KvCache cache(2, 2, 4, 6, DType::kF32);
  Tensor x = RandomTensor({2, 6, 8}, 1);
  Tensor normed(x.shape(), DType::kF32);
  const LayerNormArgs norm{.x = x, .scale = {}, .shift = {}, .out = normed.mutable_view()};
  if (normed_before) LayerNorm(ctx, norm);
  const nn::Input input = normed_before ? nn::Input(normed) : nn::Input(norm);
  const Pass pass{
      .ctx = ctx, .activation = DType::kF32, .hooks = &hooks, .map = {.height = 2, .width = 3}};
  attention.Forward(pass, 0, {}, input, &cache, x, x.mutable_view());
  return {std::move(hooks.seen), std::move(x)};
}

// Though one op writes no normed rows, and x is another when the hooks are asked.
TEST(NextScaleAttention, QueriesThatChooseKeysAreOfTheNormedRows) {
  SelfAttention attention({.width = 8, .heads = 2});
  nn::LoadWeights(attention, RandomWeights(attention, 1), Device::kCpu, DType::kF32);
  attention.Prepare();
  const auto [queries, sum] = QueriesAndSum(attention, true);
  ASSERT_EQ(queries.shape(), Shape({2, 2, 2, 4}));
  for (const char* forced : {"", "ref"}) {
    ForceImplementation("norm_linear", forced);
    const auto [got_queries, got_sum] = QueriesAndSum(attention, false);
    EXPECT_TRUE(SameBits(got_queries, queries)) << forced;
    EXPECT_TRUE(SameBits(got_sum, sum)) << forced;
  }
  ForceImplementation("norm_linear", "");
}

}  // namespace
}  // namespace gesso::next_scale
