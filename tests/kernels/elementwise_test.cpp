// LinearCombination against ref, with every number of terms, in place, with bounds.
#include "kernels/elementwise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

TEST(LinearCombination, EqualsRefForEveryNumberOfTerms) {
  for (const int64_t size : {1, 7, 100, 40000}) {
    for (uint32_t count = 1; count <= 8; ++count) {
      std::vector<Tensor> inputs;
      std::vector<Term> terms;
      for (uint32_t t = 0; t < count; ++t) {
        inputs.push_back(RandomTensor({size}, t));
        terms.push_back({0.5f + static_cast<float>(t), inputs.back()});
      }
      LinearCombinationArgs args;
      args.terms = terms;
      if (count % 2 == 0) {
        args.low = -1;
        args.high = 2;
      }
      Tensor want({size}, DType::kF32);
      args.out = want.mutable_view();
      RunImplementation(LinearCombinationTable(), "ref", args);
      ForEachFast(LinearCombinationTable(), args, [&](std::string_view name) {
        ForEachTarget([&] {
          Tensor got({size}, DType::kF32);
          args.out = got.mutable_view();
          RunImplementation(LinearCombinationTable(), name, args);
          EXPECT_LT(RmsError(got, want), 1e-6);
        });
      });
    }
  }
}

// Two pictures of a size that is odd and one that takes several parts.
TEST(LinearCombination, DrawsNoiseOnTheWay) {
  const std::array<uint64_t, 2> seeds = {5, 0x123456789abcdef};
  const std::array<NormalTerm, 3> streams = {{{0.5f, 7}, {-2, uint64_t{1} << 63 | 5}, {1, 3}}};
  for (const int64_t size : {1, 9, 5001}) {
    const Tensor a = RandomTensor({2, size}, 1);
    const Tensor b = RandomTensor({2, size}, 2);
    const std::array<Term, 2> terms = {{{0.5f, a, 3}, {2, b}}};
    for (const size_t count : {0, 1, 2}) {
      Tensor drawn({2, size}, DType::kF32);
      for (int64_t p = 0; p < 2; ++p) {
        const std::span<float> row(drawn.MutableData<float>() + p * size,
                                   static_cast<size_t>(size));
        SumNormals(seeds[static_cast<size_t>(p)], streams, 0, row);
      }
      LinearCombinationArgs args{.terms = std::span(terms).first(count), .low = -9, .out = {}};
      // The same as of noise that was drawn before.
      std::vector<Term> all(args.terms.begin(), args.terms.end());
      all.push_back({1.5f, drawn});
      Tensor want({2, size}, DType::kF32);
      Context ctx;
      LinearCombination(ctx, {.terms = all, .low = -9, .out = want.mutable_view()});
      args.noise = {.coefficient = 1.5f, .seeds = seeds, .streams = streams};
      const auto run = [&](std::string_view name) {
        Tensor got({2, size}, DType::kF32);
        Tensor also({2, size}, DType::kF32);
        args.out = got.mutable_view();
        if (count == 2) args.also = also.mutable_view();
        RunImplementation(LinearCombinationTable(), name, args);
        EXPECT_LT(RmsError(got, want), 1e-6) << name;
        for (int64_t i = 0; count == 2 && i < 2 * size; ++i) {
          ASSERT_EQ(also.Data<float>()[i], 3 * a.Data<float>()[i]) << name;
        }
      };
      run("ref");
      ForEachFast(LinearCombinationTable(), args,
                  [&](std::string_view name) { ForEachTarget([&] { run(name); }); });
      Tensor got({2, size}, DType::kF32);
      args.out = got.mutable_view();
      args.also = {};
      LinearCombination(ctx, args);
      EXPECT_TRUE(SameBits(got, want));
    }
  }
}

TEST(LinearCombination, MakesTwoSumsInPlace) {
  LinearCombinationArgs args;
  const auto run = [&](std::string_view name) {
    Tensor a = RandomTensor({103}, 1);
    Tensor b = RandomTensor({103}, 2);
    const Tensor before = Cast(a, DType::kF32);
    const std::array<Term, 2> terms = {{{1, a, 2}, {-1, b, 0.5f}}};
    args = {.terms = terms, .high = 1, .out = b.mutable_view(), .also = a.mutable_view()};
    RunImplementation(LinearCombinationTable(), name, args);
    const Tensor other = RandomTensor({103}, 2);
    for (int64_t i = 0; i < 103; ++i) {
      const float x = before.Data<float>()[i];
      const float y = other.Data<float>()[i];
      EXPECT_FLOAT_EQ(b.Data<float>()[i], std::min(x - y, 1.0f)) << name;
      EXPECT_NEAR(a.Data<float>()[i], 2 * x + y / 2, 1e-6) << name << ": without bounds";
    }
  };
  run("ref");
  ForEachFast(LinearCombinationTable(), args,
              [&](std::string_view name) { ForEachTarget([&] { run(name); }); });
}

TEST(LinearCombination, InPlaceClampedAndNan) {
  Tensor x({20}, DType::kF32);
  for (int i = 0; i < 20; ++i) x.MutableData<float>()[i] = static_cast<float>(i);
  x.MutableData<float>()[19] = NAN;
  const Term terms[] = {{2, x}, {-1, x}};
  Context ctx;
  LinearCombination(ctx, {terms, 3, 10, x.mutable_view()});
  for (int i = 0; i < 19; ++i) EXPECT_EQ(x.Data<float>()[i], std::min(std::max(i, 3), 10));
  EXPECT_TRUE(std::isnan(x.Data<float>()[19]));
}

TEST(LinearCombinationErrors, NameTheArgument) {
  Context ctx;
  Tensor x({4}, DType::kF32);
  Tensor y({5}, DType::kF32);
  LinearCombinationArgs args;
  args.out = x.mutable_view();
  ExpectError(ErrorKind::kShape, "0 terms", [&] { LinearCombination(ctx, args); });
  const std::vector<Term> nine(9, Term{1, x});
  args.terms = nine;
  ExpectError(ErrorKind::kShape, "9 terms", [&] { LinearCombination(ctx, args); });
  const Term wrong[] = {{1, x}, {1, y}};
  args.terms = wrong;
  ExpectError(ErrorKind::kShape, "term 1 must be [4]", [&] { LinearCombination(ctx, args); });
  args.terms = std::span(nine).first(1);
  args.also = y.mutable_view();
  ExpectError(ErrorKind::kShape, "also must be [4]", [&] { LinearCombination(ctx, args); });
  args.also = {};
  const std::array<uint64_t, 4> seeds = {};
  args.noise = {.coefficient = 1, .seeds = seeds};
  ExpectError(ErrorKind::kShape, "noise of 0 streams", [&] { LinearCombination(ctx, args); });
  const std::vector<NormalTerm> many(65, NormalTerm{1, 0});
  args.noise.streams = many;
  ExpectError(ErrorKind::kShape, "noise of 65 streams", [&] { LinearCombination(ctx, args); });
  args.noise = {
      .coefficient = 1, .seeds = std::span(seeds).first(3), .streams = std::span(many).first(1)};
  ExpectError(ErrorKind::kShape, "noise of 3 seeds", [&] { LinearCombination(ctx, args); });
}

TEST(GatedAdd, EqualsRefWithAndWithoutResidual) {
  for (const int64_t width : {1, 13, 96}) {
    const Tensor residual = RandomTensor({2, 5, width}, 1);
    const Tensor x = RandomTensor({2, 5, width}, 2);
    const Tensor rows = RandomTensor({2, 2 * width}, 3);
    const Tensor shared = RandomTensor({width}, 4);
    for (const ConstView& gate : {rows.view().Slice(1, width, 2 * width), shared.view()}) {
      for (const ConstView& added : {residual.view(), ConstView()}) {
        Tensor want({2, 5, width}, DType::kF32);
        GatedAddArgs args{added, x, gate, want.mutable_view()};
        RunImplementation(GatedAddTable(), "ref", args);
        ForEachFast(GatedAddTable(), args, [&](std::string_view name) {
          ForEachTarget([&] {
            Tensor got({2, 5, width}, DType::kF32);
            args.out = got.mutable_view();
            RunImplementation(GatedAddTable(), name, args);
            EXPECT_LT(RmsError(got, want), 1e-6);
          });
        });
      }
    }
  }
}

TEST(GatedAdd, InPlaceAndErrors) {
  Context ctx;
  Tensor x = RandomTensor({1, 2, 3}, 1);
  const Tensor before = Cast(x, DType::kF32);
  Tensor gate({3}, DType::kF32);
  for (int i = 0; i < 3; ++i) gate.MutableData<float>()[i] = static_cast<float>(i);
  GatedAdd(ctx, {.residual = x, .x = x, .gate = gate, .out = x.mutable_view()});
  for (int i = 0; i < 6; ++i) {
    EXPECT_FLOAT_EQ(x.Data<float>()[i], before.Data<float>()[i] * static_cast<float>(1 + i % 3));
  }
  const Tensor wrong({2, 3}, DType::kF32);
  ExpectError(ErrorKind::kShape, "gated_add: gate must be [3] or [1, 3]", [&] {
    GatedAdd(ctx, {.residual = {}, .x = x, .gate = wrong, .out = x.mutable_view()});
  });
}

}  // namespace
}  // namespace gesso
