// Speculative Jacobi decoding: the tokens' distribution is the sequential one, whatever the window.
#include <gmock/gmock.h>

#include <cmath>

#include "samplers/next_token/distribution.h"
#include "samplers/next_token/speculative_jacobi.h"
#include "tests/samplers/support.h"

namespace gesso {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing_support::ExpectError;
using testing_support::RandomTensor;

constexpr int64_t kVocab = 5;

// A first-order chain: the logits of the next token are a row of a table.
class Chain : public NextTokenModel {
 public:
  explicit Chain(bool has_unconditional = false)
      : has_unconditional_(has_unconditional),
        table_(RandomTensor({2, kVocab, kVocab}, 3, DType::kF32, 1.5F)) {}

  int64_t vocab_size() const override { return kVocab; }
  bool has_unconditional() const override { return has_unconditional_; }
  void Forget(int64_t count) override { length -= count; }
  void Logits(Context&, std::span<const int32_t> tokens, View logits) override {
    ++calls;
    length += static_cast<int64_t>(tokens.size());
    auto* out = logits.Data<float>();
    for (int64_t branch = 0; branch < logits.shape[0]; ++branch) {
      for (const int32_t token : tokens.last(static_cast<size_t>(logits.shape[1]))) {
        out = std::copy_n(Row(branch, token), kVocab, out);
      }
    }
  }
  const float* Row(int64_t branch, int32_t token) const {
    return table_.Data<float>() + (branch * kVocab + token) * kVocab;
  }

  int64_t calls = 0;
  int64_t length = 0;

 private:
  bool has_unconditional_;
  Tensor table_;
};

SpeculativeJacobiOptions Options(int64_t new_tokens, int64_t window) {
  return {.max_new_tokens = new_tokens,
          .window = window,
          .window_end = new_tokens,
          .draft_tokens = {0, 1, 2, 3, 4}};
}

std::vector<int32_t> Decode(const SpeculativeJacobiOptions& options, uint64_t seed,
                            bool has_unconditional = false) {
  static TestContext test;
  Chain chain(has_unconditional);
  const std::vector<int32_t> prompt = {1};
  std::vector<int32_t> tokens =
      DecodeSpeculativeJacobi(test.ctx, chain, prompt, options, PhiloxTokenDraws(seed));
  // All accepted tokens but the last have been through the network.
  EXPECT_EQ(chain.length, static_cast<int64_t>(tokens.size()) - 1);
  return tokens;
}

// The distribution of the n-th token after token 1.
std::vector<double> Marginal(int64_t n, double guidance) {
  const Chain chain;
  std::vector<double> now(kVocab, 0.0);
  now[1] = 1;
  for (int64_t step = 0; step < n; ++step) {
    std::vector<double> next(kVocab, 0.0);
    for (int32_t from = 0; from < kVocab; ++from) {
      std::vector<double> row(kVocab);
      for (size_t v = 0; v < row.size(); ++v) {
        row[v] = guidance * chain.Row(0, from)[v] + (1 - guidance) * chain.Row(1, from)[v];
      }
      SoftmaxTopK(row, 0);
      for (size_t v = 0; v < row.size(); ++v) next[v] += now[static_cast<size_t>(from)] * row[v];
    }
    now = next;
  }
  return now;
}

void ExpectMarginals(const SpeculativeJacobiOptions& options) {
  constexpr int kRuns = 4000;
  constexpr size_t kTokens = 4;
  std::vector<std::vector<double>> shares(kTokens, std::vector<double>(kVocab, 0.0));
  for (uint64_t seed = 0; seed < kRuns; ++seed) {
    const auto tokens = Decode(options, seed, options.guidance_scale != 1);
    for (size_t n = 0; n < kTokens; ++n) {
      shares[n][static_cast<size_t>(tokens[1 + n])] += 1.0 / kRuns;
    }
  }
  for (size_t n = 0; n < kTokens; ++n) {
    const auto want = Marginal(static_cast<int64_t>(n) + 1, options.guidance_scale);
    for (size_t v = 0; v < want.size(); ++v) {
      const double deviation = std::sqrt(want[v] * (1 - want[v]) / kRuns);
      EXPECT_NEAR(shares[n][v], want[v], 4.5 * deviation) << "token " << n << " value " << v;
    }
  }
}

TEST(SpeculativeJacobi, DrawsFromTheSequentialDistribution) { ExpectMarginals(Options(4, 3)); }

TEST(SpeculativeJacobi, DrawsFromTheGuidedDistribution) {
  SpeculativeJacobiOptions options = Options(4, 4);
  options.guidance_scale = 2.5;
  ExpectMarginals(options);
}

TEST(SpeculativeJacobi, GreedyTokensAreTheSequentialOnes) {
  for (const DraftRule rule : {DraftRule::kMatching, DraftRule::kSpeculative}) {
    SpeculativeJacobiOptions sequential = Options(30, 1);
    sequential.draws = false;
    sequential.rule = rule;
    // A sharp distribution: with it the speculative rule accepts nothing but the best token.
    sequential.top_k = 1;
    const auto want = Decode(sequential, 0);
    for (const int64_t window : {2, 5, 16}) {
      SpeculativeJacobiOptions options = sequential;
      options.window = window;
      auto got = Decode(options, 7);
      got.resize(want.size());
      EXPECT_EQ(got, want) << window;
    }
  }
}

TEST(SpeculativeJacobi, NeedsFewerCallsThanTokens) {
  TestContext test;
  Chain chain;
  const std::vector<int32_t> prompt = {1};
  DecodeSpeculativeJacobi(test.ctx, chain, prompt, Options(400, 8), PhiloxTokenDraws(1));
  // A random draft alone is accepted with a chance of one in kVocab.
  EXPECT_LT(chain.calls, 360);
}

TEST(SpeculativeJacobi, UsesWindowsWithinTheIntervalOnly) {
  TestContext test;
  Chain chain;
  SpeculativeJacobiOptions options = Options(12, 4);
  options.window_begin = 2;
  options.window_end = 8;
  const std::vector<int32_t> prompt = {0, 3};
  std::vector<int64_t> before;  // tokens after the prompt before each call
  std::vector<size_t> windows;
  DecodeSpeculativeJacobi(
      test.ctx, chain, prompt, options, PhiloxTokenDraws(5), [&](const NextTokenStep& step) {
        windows.push_back(step.inputs.size());
        before.push_back(static_cast<int64_t>(step.tokens.size()) - 2 - step.accepted);
      });
  EXPECT_EQ(windows[0], 2u);  // the prompt
  for (size_t i = 1; i < windows.size(); ++i) {
    const int64_t n = before[i - 1];
    const int64_t want = n >= 2 && n < 8 ? std::min<int64_t>(4, 8 - n) : 1;
    EXPECT_EQ(static_cast<int64_t>(windows[i]), want) << "call " << i;
  }
}

TEST(SpeculativeJacobi, RedrawsFromWhatTheDraftsLackedAfterARejection) {
  const std::vector<int32_t> inputs = {0, 1, 2};
  const std::vector<double> draft = {0, 0, 0, 0.2, 0.8, 0, 0.1, 0.1, 0.8};
  const std::vector<double> wanted = {0.6, 0.2, 0.2, 0.1, 0.1, 0.8, 1, 0, 0};
  const auto verify = [&](double u, double resample, std::vector<int32_t>& tokens) {
    const std::vector<double> accept = {0, u, 0.5};
    return VerifyWindow({inputs, draft, wanted, tokens}, accept, resample);
  };
  std::vector<int32_t> tokens = {2, 0, 0};
  WindowVerdict verdict = verify(0.3, 0.7, tokens);  // 0.2 / 0.8 is below 0.3
  EXPECT_EQ(verdict.accepted, 1);
  EXPECT_THAT(verdict.residual,
              ElementsAre(DoubleNear(2.0 / 3, 1e-12), 0, DoubleNear(1.0 / 3, 1e-12)));
  EXPECT_THAT(tokens, ElementsAre(2, 0, 0));
  tokens = {2, 0, 0};
  EXPECT_EQ(verify(0.3, 0.6, tokens).accepted, 1);
  EXPECT_THAT(tokens, ElementsAre(0, 0, 0));
  tokens = {2, 0, 0};
  verdict = verify(0.2, 0, tokens);
  EXPECT_EQ(verdict.accepted, 3);
  EXPECT_TRUE(verdict.residual.empty());
  EXPECT_THAT(tokens, ElementsAre(1, 2, 0));
}

TEST(SpeculativeJacobi, RejectsADraftThatNeitherDistributionKnows) {
  const std::vector<int32_t> inputs = {0, 1};
  const std::vector<double> draft = {0, 0, 1, 0};
  const std::vector<double> wanted = {1, 0, 1, 0};
  std::vector<int32_t> tokens = {0, 0};
  const std::vector<double> accept = {0, 0};
  EXPECT_EQ(VerifyWindow({inputs, draft, wanted, tokens}, accept, 0.5).accepted, 1);
  EXPECT_EQ(tokens[0], 0);
}

TEST(Distribution, KeepsTiesAtTheCut) {
  std::vector<double> scores = {1, 2, 0, 2, 3};
  SoftmaxTopK(scores, 2);
  const double rest = 1 / (2 + std::exp(1.0));
  EXPECT_THAT(scores, ElementsAre(0, DoubleNear(rest, 1e-12), 0, DoubleNear(rest, 1e-12),
                                  DoubleNear(rest * std::exp(1.0), 1e-12)));
  EXPECT_EQ(DrawIndex(scores, 0), 1);
  EXPECT_EQ(DrawIndex(scores, 0.3), 3);
  EXPECT_EQ(DrawIndex(scores, 0.999999), 4);
  EXPECT_EQ(DrawIndex(std::vector<double>{0, 0}, 0.5), -1);
}

TEST(SpeculativeJacobiErrors, NameTheOption) {
  TestContext test;
  Chain chain;
  const auto decode = [&](std::vector<int32_t> prompt, const SpeculativeJacobiOptions& options) {
    DecodeSpeculativeJacobi(test.ctx, chain, prompt, options, PhiloxTokenDraws(0));
  };
  ExpectError(ErrorKind::kUsage, "prompt", [&] { decode({}, Options(4, 2)); });
  ExpectError(ErrorKind::kUsage, "prompt", [&] { decode({5}, Options(4, 2)); });
  ExpectError(ErrorKind::kUsage, "max_new_tokens is 0", [&] { decode({1}, Options(0, 2)); });
  ExpectError(ErrorKind::kUsage, "window is 0", [&] { decode({1}, Options(4, 0)); });
  ExpectError(ErrorKind::kUsage, "window is 5000", [&] { decode({1}, Options(4, 5000)); });
  const std::vector<double> probs(4, 0.5);
  for (const int32_t draft : {-1, 2}) {
    const std::vector<int32_t> inputs = {0, draft};
    std::vector<int32_t> tokens = {0, 0};
    ExpectError(ErrorKind::kFormat, "vocabulary of 2", [&] {
      VerifyWindow({inputs, probs, probs, tokens}, std::vector<double>{0, 0}, 0);
    });
  }
  SpeculativeJacobiOptions options = Options(4, 2);
  options.draft_tokens = {};
  ExpectError(ErrorKind::kUsage, "needs draft_tokens", [&] { decode({1}, options); });
  options.draft_tokens = {9};
  ExpectError(ErrorKind::kUsage, "below 5", [&] { decode({1}, options); });
  options = Options(4, 2);
  options.guidance_scale = 3;
  ExpectError(ErrorKind::kUsage, "no unconditional", [&] { decode({1}, options); });
}

}  // namespace
}  // namespace gesso
