// KvCache: order of what is appended, thinning out, copies, and what does not fit.
#include "models/nn/kv_cache.h"

#include <algorithm>
#include <array>
#include <vector>

#include "tests/support/ops.h"

namespace gesso::nn {
namespace {

using testing_support::ExpectError;

// Writes 1000 row + 100 head + token for every channel; values are negative.
void Fill(const KvCache::Slots& slots, int64_t first) {
  const Shape& s = slots.keys.shape;
  for (int64_t row = 0; row < s[0]; ++row) {
    for (int64_t token = 0; token < s[1]; ++token) {
      for (int64_t head = 0; head < s[2]; ++head) {
        for (int64_t c = 0; c < s[3]; ++c) {
          const int64_t at = row * slots.keys.strides[0] + token * slots.keys.strides[1] +
                             head * slots.keys.strides[2] + c;
          const auto value = static_cast<float>(1000 * row + 100 * head + first + token);
          slots.keys.Data<float>()[at] = value;
          slots.values.Data<float>()[at] = -value;
        }
      }
    }
  }
}

// Tokens of one head of one row, by what Fill wrote; checks that values go with keys.
std::vector<int> TokensOf(const KvCache& cache, int64_t row, int64_t head) {
  std::vector<int> tokens;
  const ConstView keys = cache.keys();
  const ConstView values = cache.values();
  for (int64_t i = 0; i < cache.size(); ++i) {
    const int64_t at = row * keys.strides[0] + i * keys.strides[1] + head * keys.strides[2];
    EXPECT_EQ(values.Data<float>()[at], -keys.Data<float>()[at]);
    tokens.push_back(static_cast<int>(keys.Data<float>()[at]) - static_cast<int>(100 * head));
  }
  return tokens;
}

KvCache Filled() {
  KvCache cache(2, 2, 3, 6, DType::kF32);
  Fill(cache.Append(1), 0);
  Fill(cache.Append(4), 1);
  return cache;
}

TEST(KvCache, AppendsInOrder) {
  KvCache cache = Filled();
  EXPECT_EQ(cache.keys().shape, Shape({2, 5, 2, 3}));
  EXPECT_EQ(TokensOf(cache, 1, 1), (std::vector<int>{1000, 1001, 1002, 1003, 1004}));
  ExpectError(ErrorKind::kMemory, "a cache for 6 tokens cannot take 2 after 5",
              [&] { cache.Append(2); });
  cache.Clear();
  EXPECT_EQ(cache.keys().numel(), 0);
  Fill(cache.Append(6), 10);
  EXPECT_EQ(TokensOf(cache, 0, 0), (std::vector<int>{10, 11, 12, 13, 14, 15}));
}

TEST(KvCache, KeepsDifferentTokensInEachHead) {
  KvCache cache = Filled();
  Tensor kept({2, 2, 2}, DType::kI32);
  std::ranges::copy(std::array<int32_t, 8>{0, 1, 3, 4, 0, 4, 2, 3}, kept.MutableData<int32_t>());
  cache.Compact(kept);
  EXPECT_EQ(cache.size(), 2);
  EXPECT_EQ(TokensOf(cache, 0, 0), (std::vector<int>{0, 1}));
  EXPECT_EQ(TokensOf(cache, 0, 1), (std::vector<int>{3, 4}));
  EXPECT_EQ(TokensOf(cache, 1, 0), (std::vector<int>{1000, 1004}));
  EXPECT_EQ(TokensOf(cache, 1, 1), (std::vector<int>{1002, 1003}));
  Fill(cache.Append(1), 9);
  EXPECT_EQ(TokensOf(cache, 1, 1), (std::vector<int>{1002, 1003, 1009}));
  std::ranges::copy(std::array<int32_t, 8>{0, 1, 1, 2, 0, 2, 2, 2}, kept.MutableData<int32_t>());
  ExpectError(ErrorKind::kShape, "must ascend within 0..2, got 2 after 2",
              [&] { cache.Compact(kept); });
}

TEST(KvCache, ForksRowsThatGoOnAlone) {
  KvCache cache = Filled();
  const std::array<int64_t, 3> rows = {1, 0, 1};
  KvCache fork = cache.Fork(rows);
  EXPECT_EQ(fork.rows(), 3);
  EXPECT_EQ(fork.capacity(), 6);
  Fill(fork.Append(1), 77);
  EXPECT_EQ(TokensOf(fork, 0, 1), (std::vector<int>{1000, 1001, 1002, 1003, 1004, 77}));
  EXPECT_EQ(TokensOf(fork, 1, 0), (std::vector<int>{0, 1, 2, 3, 4, 1077}));
  EXPECT_EQ(cache.size(), 5);
  EXPECT_EQ(TokensOf(cache, 0, 0), (std::vector<int>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace gesso::nn
