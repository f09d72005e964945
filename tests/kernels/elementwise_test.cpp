// LinearCombination against ref, with every number of terms, in place, with bounds.
#include "kernels/elementwise.h"

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
