// TokenDistance and TopTokens against ref; orders, ties, bounds.
#include "kernels/token_pruning.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

TEST(TokenDistance, EqualsRef) {
  for (const Shape& shape :
       {Shape{1, 1, 1}, Shape{2, 7, 37}, Shape{2, 130, 96}, Shape{1, 9, 200}}) {
    Tensor x = RandomTensor(shape, 1);
    for (int64_t i = 0; i < shape.numel(); ++i) x.MutableData<float>()[i] += 3;  // a mean to find
    Tensor want({shape[0], shape[1]}, DType::kF32);
    TokenDistanceArgs args{x, want.mutable_view()};
    RunImplementation(TokenDistanceTable(), "ref", args);
    ForEachFast(TokenDistanceTable(), args, [&](std::string_view name) {
      ForEachTarget([&] {
        Tensor got({shape[0], shape[1]}, DType::kF32);
        args.score = got.mutable_view();
        RunImplementation(TokenDistanceTable(), name, args);
        EXPECT_LT(RmsError(got, want), 1e-5);
      });
    });
  }
}

TEST(TopTokens, ByIndexAndByScore) {
  Tensor score({2, 5}, DType::kF32);
  std::ranges::copy(std::array<float, 10>{1, 5, 3, 3, 3, 0, 0, 9, 0, 0},
                    score.MutableData<float>());
  for (const std::string_view name : {"select", "ref"}) {
    Tensor ids({2, 3}, DType::kI32);
    const auto run = [&](bool by_score) {
      RunImplementation(TopTokensTable(), name, TopTokensArgs{score, by_score, ids.mutable_view()});
      return std::vector<int32_t>(ids.Data<int32_t>(), ids.Data<int32_t>() + 6);
    };
    // Equal scores: the lower index is taken.
    EXPECT_EQ(run(false), (std::vector<int32_t>{1, 2, 3, 0, 1, 2})) << name;
    EXPECT_EQ(run(true), (std::vector<int32_t>{1, 2, 3, 7 - 5, 0, 1})) << name;
  }
  Context ctx;
  Tensor ids({2, 6}, DType::kI32);
  ExpectError(ErrorKind::kShape, "top_tokens: ids [2, 6] do not fit scores [2, 5]",
              [&] { TopTokens(ctx, {.score = score, .ids = ids.mutable_view()}); });
}

TEST(TopTokens, TakesNanLast) {
  Tensor score = RandomTensor({1, 300}, 1);
  for (int64_t i = 0; i < 300; i += 3) score.MutableData<float>()[i] = NAN;
  for (const std::string_view name : {"select", "ref"}) {
    for (const bool by_score : {false, true}) {
      Tensor ids({1, 201}, DType::kI32);
      RunImplementation(TopTokensTable(), name, TopTokensArgs{score, by_score, ids.mutable_view()});
      const std::span<const int32_t> kept(ids.Data<int32_t>(), 201);
      EXPECT_EQ(std::ranges::count_if(kept, [](int32_t id) { return id % 3 == 0; }), 1) << name;
      EXPECT_EQ(kept[by_score ? 200 : 0], 0) << name;  // of the NaN the lowest index
    }
  }
}

TEST(TopTokens, EqualsRefOnManyTokens) {
  const Tensor score = RandomTensor({3, 1000}, 1);
  for (const int64_t kept : {1, 500, 999, 1000}) {
    for (const bool by_score : {false, true}) {
      Tensor want({3, kept}, DType::kI32);
      Tensor got({3, kept}, DType::kI32);
      RunImplementation(TopTokensTable(), "ref",
                        TopTokensArgs{score, by_score, want.mutable_view()});
      RunImplementation(TopTokensTable(), "select",
                        TopTokensArgs{score, by_score, got.mutable_view()});
      EXPECT_TRUE(SameBits(got, want)) << kept;
    }
  }
}

}  // namespace
}  // namespace gesso
