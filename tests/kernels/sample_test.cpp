// SampleTokens and GumbelSoftmax: known choices, ties, edges of the filters, ref.
#include "kernels/sample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <vector>

#include "kernels/core/rng.h"
#include "kernels/cuda/device/token_choice.cuh"
#include "tests/support/cuda_bodies.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// The implementations that run here, and the arithmetic of CUDA's by some lanes of the host.
std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& implementation : SampleTokensTable().implementations()) {
    if (RunsHere(implementation)) names.emplace_back(implementation.name);
  }
  names.insert(names.end(), {"1 lane", "5 lanes"});
  return names;
}

void SampleBy(std::string_view name, const SampleTokensArgs& args) {
  if (name.find("lane") == std::string_view::npos) {
    return RunImplementation(SampleTokensTable(), name, args);
  }
  cuda::SampleTokensRow body(args);
  body.uniforms = args.uniforms.data();
  RunRowsByLanes(args.logits.shape[0], name.front() - '0', body);
}

// One row of logits ln(p) under each implementation.
struct Sampled {
  int32_t token;
  std::vector<bool> kept;
};

Sampled Sample(std::string_view name, const std::vector<double>& shares, int64_t top_k,
               double top_p, double uniform) {
  Tensor logits({1, static_cast<int64_t>(shares.size())}, DType::kF32);
  std::ranges::transform(shares, logits.MutableData<float>(),
                         [](double share) { return static_cast<float>(std::log(share)); });
  Tensor token({1}, DType::kI32);
  SampleBy(name, SampleTokensArgs{
                     logits.mutable_view(), top_k, top_p, {&uniform, 1}, token.mutable_view()});
  Sampled sampled{*token.Data<int32_t>(), {}};
  for (size_t i = 0; i < shares.size(); ++i) {
    sampled.kept.push_back(std::isfinite(logits.Data<float>()[i]));
  }
  return sampled;
}

TEST(SampleTokens, KnownChoices) {
  const std::vector<double> shares = {0.1, 0.4, 0.2, 0.3};
  const auto kept = [](bool a, bool b, bool c, bool d) { return std::vector<bool>{a, b, c, d}; };
  for (const std::string& name : Names()) {
    SCOPED_TRACE(name);
    EXPECT_EQ(Sample(name, shares, 0, 0, 0.05).token, 0);
    EXPECT_EQ(Sample(name, shares, 0, 0, 0.45).token, 1);
    EXPECT_EQ(Sample(name, shares, 0, 0, 0.69).token, 2);
    EXPECT_EQ(Sample(name, shares, 0, 0, 0.999).token, 3);
    EXPECT_EQ(Sample(name, shares, 1, 0, 0.999).token, 1);
    EXPECT_EQ(Sample(name, shares, 2, 0, 0.5).token, 1);  // 4/7 against 3/7
    EXPECT_EQ(Sample(name, shares, 2, 0, 0.6).token, 3);
    EXPECT_EQ(Sample(name, shares, 9, 0, 0.05).token, 0);  // more than there are
    EXPECT_EQ(Sample(name, shares, 0, 0.85, 0).kept, kept(false, true, true, true));
    EXPECT_EQ(Sample(name, shares, 0, 0.65, 0).kept, kept(false, true, false, true));
    EXPECT_EQ(Sample(name, shares, 0, 1e-9, 0.9).kept, kept(false, true, false, false));
    // top_k first: 0.3 / 0.9 and 0.2 / 0.9 are what top_p then sees.
    EXPECT_EQ(Sample(name, shares, 3, 0.75, 0).kept, kept(false, true, false, true));
  }
}

TEST(SampleTokens, TiesStayTogetherInTopK) {
  for (const std::string& name : Names()) {
    const Sampled sampled = Sample(name, {0.2, 0.2, 0.4, 0.2}, 2, 0, 0.999);
    EXPECT_EQ(sampled.token, 3) << name;
    // Equal shares fall by index: the first is what 1 - 0.85 pays for once, not twice.
    const Sampled nucleus = Sample(name, {0.1, 0.1, 0.7, 0.1}, 0, 0.85, 0);
    EXPECT_EQ(nucleus.kept, (std::vector<bool>{false, true, true, true})) << name;
  }
}

TEST(SampleTokens, EqualsRefOnManyRows) {
  constexpr int64_t kRows = 64;
  constexpr int64_t kValues = 501;
  for (const auto& [top_k, top_p] :
       {std::pair<int64_t, double>{0, 0}, {90, 0}, {0, 0.9}, {90, 0.96}, {1, 0}, {501, 0.5}}) {
    std::vector<double> uniforms(kRows);
    for (size_t i = 0; i < uniforms.size(); ++i) uniforms[i] = static_cast<double>(i) / kRows;
    const auto run = [&, k = top_k, p = top_p](std::string_view name, Tensor& tokens) {
      Tensor logits = RandomTensor({kRows, kValues}, 3, DType::kF32, 2);
      SampleBy(name,
               SampleTokensArgs{logits.mutable_view(), k, p, uniforms, tokens.mutable_view()});
      return logits;
    };
    Tensor want({kRows}, DType::kI32);
    Tensor got({kRows}, DType::kI32);
    const Tensor filtered = run("ref", want);
    for (const std::string& name : Names()) {
      SCOPED_TRACE(name);
      EXPECT_TRUE(SameBits(run(name, got), filtered));
      EXPECT_TRUE(SameBits(got, want));
    }
  }
}

// Bits, few values and many, rows with equal and with dropped logits.
TEST(SampleTokens, EqualsRefOnAnyVocabulary) {
  constexpr int64_t kRows = 24;
  for (const auto& [values, top_k, top_p] : {std::tuple<int64_t, int64_t, double>{1, 1, 0.5},
                                             {2, 0, 0.97},
                                             {2, 1, 0.5},
                                             {3, 2, 1},
                                             {64, 10, 0.3},
                                             {4099, 900, 0.96},
                                             {4099, 0, 0.999}}) {
    std::vector<double> uniforms(kRows);
    for (size_t i = 0; i < uniforms.size(); ++i) uniforms[i] = UniformAt(1, 2, i);
    Tensor logits = RandomTensor({kRows, values}, 5, DType::kF32, 6);
    for (int64_t i = values; i < kRows * values; ++i) {
      float& logit = logits.MutableData<float>()[i];
      if (i / values % 3 == 1) logit = std::round(logit);  // equal ones, and zeros of both signs
      if (i / values % 3 == 2 && i % values % 4 == 1) logit = -INFINITY;
    }
    const auto run = [&, k = top_k, p = top_p](std::string_view name, Tensor& tokens) {
      Tensor copy = Cast(logits, DType::kF32);
      SampleBy(name, SampleTokensArgs{copy.mutable_view(), k, p, uniforms, tokens.mutable_view()});
      return copy;
    };
    Tensor want({kRows}, DType::kI32);
    Tensor got({kRows}, DType::kI32);
    const Tensor filtered = run("ref", want);
    for (const std::string& name : Names()) {
      SCOPED_TRACE(name + " " + std::to_string(values));
      EXPECT_TRUE(SameBits(run(name, got), filtered));
      EXPECT_TRUE(SameBits(got, want));
    }
  }
}

TEST(SampleTokens, GivesRowsThatAreNotFiniteNoTokenOnAGpu) {
  Tensor logits({5, 3}, DType::kF32);
  float* const values = logits.MutableData<float>();
  values[1] = NAN;
  values[3 + 2] = INFINITY;
  std::fill_n(values + 6, 3, -INFINITY);
  values[9] = -INFINITY;
  const std::array<double, 5> uniforms = {0.5, 0.5, 0.5, 0.1, 0.9};
  for (const std::string& name : Names()) {
    if (name == "select" || name == "ref") continue;
    Tensor tokens({5}, DType::kI32);
    SampleBy(name,
             SampleTokensArgs{logits.mutable_view(), 2, 0.9, uniforms, tokens.mutable_view()});
    const auto* token = tokens.Data<int32_t>();
    EXPECT_EQ(std::vector<int32_t>(token, token + 5),
              (std::vector<int32_t>{kNoToken, kNoToken, kNoToken, 1, 2}));
  }
}

TEST(SampleTokensErrors, NameTheArgument) {
  Context ctx;
  Tensor logits({2, 3}, DType::kF32);
  Tensor tokens({2}, DType::kI32);
  const std::array<double, 1> one = {0};
  ExpectError(ErrorKind::kShape, "1 uniform numbers for 2 rows", [&] {
    SampleTokens(ctx, {logits.mutable_view(), 0, 0, one, tokens.mutable_view()});
  });
  const std::array<double, 2> two = {};
  ExpectError(ErrorKind::kUsage, "top_p 1.5", [&] {
    SampleTokens(ctx, {logits.mutable_view(), 0, 1.5, two, tokens.mutable_view()});
  });
}

TEST(SampleTokensErrors, RefuseLogitsThatAreNotFinite) {
  Context ctx;
  const std::array<double, 3> uniforms = {};
  Tensor tokens({3}, DType::kI32);
  const auto sample = [&](float a, float b) {
    Tensor logits({3, 2}, DType::kF32);
    logits.MutableData<float>()[2] = a;
    logits.MutableData<float>()[3] = b;
    SampleTokens(ctx, {logits.mutable_view(), 1, 0.9, uniforms, tokens.mutable_view()});
  };
  EXPECT_NO_THROW(sample(-INFINITY, 0));
  for (const auto& [a, b] : {std::pair<float, float>{NAN, 1},
                             {1, NAN},
                             {INFINITY, 0},
                             {-INFINITY, -INFINITY},
                             {NAN, NAN}}) {
    ExpectError(ErrorKind::kFormat, "row 1 are not finite", [&, a = a, b = b] { sample(a, b); });
  }
}

TEST(GumbelSoftmax, EqualsRefAndLeavesDroppedOnesOut) {
  for (const int64_t values : {1, 5, 37, 64, 500}) {
    Tensor logits = RandomTensor({3, values}, 1);
    if (values > 1) logits.MutableData<float>()[values - 1] = -INFINITY;
    const Tensor gumbel = RandomTensor({3, values}, 2);
    for (const float tau : {1.0f, 0.05f}) {
      Tensor want({3, values}, DType::kF32);
      GumbelSoftmaxArgs args{logits, gumbel, 1.5f, tau, want.mutable_view()};
      RunImplementation(GumbelSoftmaxTable(), "ref", args);
      ForEachFast(GumbelSoftmaxTable(), args, [&](std::string_view name) {
        ForEachTarget([&] {
          Tensor got({3, values}, DType::kF32);
          args.weights = got.mutable_view();
          RunImplementation(GumbelSoftmaxTable(), name, args);
          EXPECT_LT(RmsError(got, want), 3e-5);
          if (values > 1) {
            EXPECT_EQ(got.Data<float>()[values - 1], 0);
          }
        });
      });
    }
  }
}

}  // namespace
}  // namespace gesso
