// KvCache: order of what is appended, thinning out, copies, and what does not fit.
#include "models/nn/kv_cache.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tests/support/ops.h"

namespace gesso::nn {
namespace {

using testing_support::ExpectError;

// Appends tokens: 1000 row + 100 head + token for every channel; values are negative.
KvCache::Extension Extended(Context& ctx, KvCache& cache, int64_t count, int64_t first) {
  const KvCache::Extension all = cache.Extend(ctx, count);
  const View keys = all.NewKeys(count);
  const View values = all.NewValues(count);
  const Shape& s = keys.shape;
  for (int64_t row = 0; row < s[0]; ++row) {
    for (int64_t token = 0; token < s[1]; ++token) {
      for (int64_t head = 0; head < s[2]; ++head) {
        for (int64_t c = 0; c < s[3]; ++c) {
          const int64_t at =
              row * keys.strides[0] + token * keys.strides[1] + head * keys.strides[2] + c;
          const auto value = static_cast<float>(1000 * row + 100 * head + first + token);
          keys.Data<float>()[at] = value;
          values.Data<float>()[at] = -value;
        }
      }
    }
  }
  return all;
}

// Tokens of one head of one row, by what Extended wrote; checks that values go with keys.
std::vector<int> TokensOf(const KvCache::Extension& all, int64_t row, int64_t head) {
  std::vector<int> tokens;
  for (int64_t i = 0; i < all.keys.shape[1]; ++i) {
    const int64_t at =
        row * all.keys.strides[0] + i * all.keys.strides[1] + head * all.keys.strides[2];
    EXPECT_EQ(all.values.Data<float>()[at], -all.keys.Data<float>()[at]);
    tokens.push_back(static_cast<int>(all.keys.Data<float>()[at]) - static_cast<int>(100 * head));
  }
  return tokens;
}

class KvCacheTest : public testing::Test {
 protected:
  KvCacheTest() {
    cache_.Keep(Extended(ctx_, cache_, 1, 0));
    cache_.Keep(Extended(ctx_, cache_, 4, 1));
  }

  std::vector<int> Held(KvCache& cache, int64_t row, int64_t head) {
    return TokensOf(cache.Extend(ctx_, 0), row, head);
  }

  Arena arena_{Device::kCpu, size_t{1} << 16};
  Context ctx_{.device = Device::kCpu, .arena = &arena_};
  KvCache cache_{2, 2, 3, 6, DType::kF32};
};

TEST_F(KvCacheTest, AppendsInOrder) {
  EXPECT_EQ(cache_.size(), 5);
  EXPECT_EQ(Held(cache_, 1, 1), (std::vector<int>{1000, 1001, 1002, 1003, 1004}));
  Extended(ctx_, cache_, 1, 5);  // and not kept
  EXPECT_EQ(cache_.size(), 5);
  EXPECT_EQ(arena_.peak_bytes(), 0U);
}

TEST_F(KvCacheTest, TakesTheMemoryThatItUses) {
  constexpr size_t kToken = 2 * 2 * 3 * sizeof(float) * 2;  // of keys and values
  EXPECT_EQ(cache_.bytes(), 5 * kToken);
  cache_.Extend(ctx_, 1);
  EXPECT_EQ(cache_.bytes(), 6 * kToken);
  cache_.Release();
  EXPECT_EQ(cache_.bytes(), 0U);
  const std::array<int64_t, 1> rows = {1};
  EXPECT_EQ(cache_.Fork(rows).bytes(), 0U);
}

TEST_F(KvCacheTest, TakesWhatDoesNotFitOnTheArena) {
  const KvCache::Extension all = Extended(ctx_, cache_, 3, 5);
  EXPECT_EQ(TokensOf(all, 1, 0),
            (std::vector<int>{1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007}));
  EXPECT_GT(arena_.peak_bytes(), 0U);
  EXPECT_EQ(Held(cache_, 1, 0), (std::vector<int>{1000, 1001, 1002, 1003, 1004}));
  const size_t before = cache_.bytes();
  cache_.Keep(all);
  EXPECT_EQ(cache_.bytes(), before / 5 * 8);
  EXPECT_EQ(Held(cache_, 0, 1), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST_F(KvCacheTest, KeepsDifferentTokensInEachHead) {
  Tensor kept({2, 2, 2}, DType::kI32);
  const auto keep = [&](const KvCache::Extension& all, std::array<int32_t, 8> ids) {
    std::ranges::copy(ids, kept.MutableData<int32_t>());
    cache_.Keep(all, kept);
  };
  keep(cache_.Extend(ctx_, 0), {0, 1, 3, 4, 0, 4, 2, 3});
  EXPECT_EQ(cache_.size(), 2);
  EXPECT_EQ(cache_.capacity(), 6);
  EXPECT_EQ(Held(cache_, 0, 0), (std::vector<int>{0, 1}));
  EXPECT_EQ(Held(cache_, 0, 1), (std::vector<int>{3, 4}));
  EXPECT_EQ(Held(cache_, 1, 0), (std::vector<int>{1000, 1004}));
  EXPECT_EQ(Held(cache_, 1, 1), (std::vector<int>{1002, 1003}));
  cache_.Keep(Extended(ctx_, cache_, 1, 9));
  EXPECT_EQ(Held(cache_, 1, 1), (std::vector<int>{1002, 1003, 1009}));
  ExpectError(ErrorKind::kShape, "must ascend within 0..2, got 2 after 2", [&] {
    keep(cache_.Extend(ctx_, 0), {0, 1, 1, 2, 0, 2, 2, 2});
  });
  // Of a copy: the memory is just what is kept.
  keep(Extended(ctx_, cache_, 4, 20), {0, 1, 0, 6, 2, 6, 3, 5});
  EXPECT_EQ(cache_.capacity(), 2);
  EXPECT_EQ(Held(cache_, 0, 1), (std::vector<int>{3, 23}));
  EXPECT_EQ(Held(cache_, 1, 1), (std::vector<int>{1020, 1022}));
}

TEST_F(KvCacheTest, HoldsWhatWasWrittenWithoutIt) {
  Extended(ctx_, cache_, 1, 5);  // not kept, but there
  cache_.Hold(6);
  EXPECT_EQ(Held(cache_, 0, 1), (std::vector<int>{0, 1, 2, 3, 4, 5}));
  const size_t bytes = cache_.bytes();
  cache_.Hold(0);
  EXPECT_EQ(cache_.size(), 0);
  EXPECT_EQ(cache_.bytes(), bytes);  // the memory has been used
  cache_.Keep(Extended(ctx_, cache_, 2, 30));
  EXPECT_EQ(Held(cache_, 1, 0), (std::vector<int>{1030, 1031}));
}

TEST_F(KvCacheTest, ForksRowsThatGoOnAlone) {
  const std::array<int64_t, 3> rows = {1, 0, 1};
  KvCache fork = cache_.Fork(rows);
  EXPECT_EQ(fork.rows(), 3);
  EXPECT_EQ(fork.capacity(), 6);
  fork.Keep(Extended(ctx_, fork, 1, 77));
  EXPECT_EQ(Held(fork, 0, 1), (std::vector<int>{1000, 1001, 1002, 1003, 1004, 77}));
  EXPECT_EQ(Held(fork, 1, 0), (std::vector<int>{0, 1, 2, 3, 4, 1077}));
  EXPECT_EQ(cache_.size(), 5);
  EXPECT_EQ(Held(cache_, 0, 0), (std::vector<int>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace gesso::nn
