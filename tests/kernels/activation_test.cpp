// Glu against ref and against known values, on every vector width.
#include "kernels/activation.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/activation.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

constexpr Activation kActivations[] = {Activation::kNone, Activation::kGeluErf,
                                       Activation::kGeluTanh, Activation::kSilu, Activation::kRelu};

struct Case {
  int64_t rows, features;
  DType in, out;
};

class GluTest : public testing::TestWithParam<Case> {};

TEST_P(GluTest, EqualsRef) {
  const Case c = GetParam();
  // Both halves of one wide product, as GEGLU has them.
  const Tensor both = RandomTensor({c.rows, 2 * c.features}, 1, c.in, 2);
  for (const Activation activation : kActivations) {
    GluArgs args;
    args.value = both.view().Slice(1, 0, c.features);
    args.gate = both.view().Slice(1, c.features, 2 * c.features);
    args.activation = activation;
    Tensor want({c.rows, c.features}, c.out);
    args.out = want.mutable_view();
    RunImplementation(GluTable(), "ref", args);
    ForEachFast(GluTable(), args, [&](std::string_view name) {
      ForEachTarget([&] {
        Tensor got({c.rows, c.features}, c.out);
        args.out = got.mutable_view();
        RunImplementation(GluTable(), name, args);
        EXPECT_LT(RmsError(got, want), ToleranceOf(c.out));
      });
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GluTest,
                         testing::Values(Case{1, 1, DType::kF32, DType::kF32},
                                         Case{3, 17, DType::kF32, DType::kF32},
                                         Case{70, 384, DType::kF32, DType::kF32},
                                         Case{5, 37, DType::kBF16, DType::kF32},
                                         Case{5, 37, DType::kF32, DType::kBF16},
                                         Case{9, 96, DType::kBF16, DType::kBF16}));

TEST(GluRowTest, KnownValuesAndTails) {
  const std::vector<float> gate = {-100, -6, -3, -1, -0.0f, 0, 0.5f, 1, 3, 6, 100, 1e30f};
  const std::vector<float> value(gate.size(), 1);
  std::vector<float> out(gate.size());
  const auto run = [&](Activation activation) {
    cpu::GluRow(activation, value.data(), gate.data(), static_cast<int64_t>(gate.size()),
                out.data(), DType::kF32);
  };
  ForEachTarget([&] {
    run(Activation::kGeluErf);
    const std::vector<double> gelu = {0,          -5.919e-9,  -0.00404969, -0.15865525, 0,   0,
                                      0.34573123, 0.84134475, 2.99595031,  6,           100, 1e30};
    for (size_t i = 0; i < gate.size(); ++i) {
      EXPECT_NEAR(out[i], gelu[i], 2e-7 * std::abs(gate[i])) << gate[i];
    }
    EXPECT_EQ(out[0], 0);
    run(Activation::kSilu);
    const std::vector<double> silu = {0,          -0.01483574, -0.14227762, -0.26894142, 0,   0,
                                      0.31122967, 0.73105858,  2.85772238,  5.98516426,  100, 1e30};
    for (size_t i = 0; i < gate.size(); ++i) {
      EXPECT_NEAR(out[i], silu[i], 3e-7 * std::abs(gate[i])) << gate[i];
    }
  });
}

TEST(GluRowTest, MayWriteOverItsInput) {
  for (const Activation activation : kActivations) {
    Tensor value = RandomTensor({1, 100}, 1);
    const Tensor gate = RandomTensor({1, 100}, 2);
    Tensor want({1, 100}, DType::kF32);
    RunImplementation(GluTable(), "ref", GluArgs{value, gate, activation, want.mutable_view()});
    cpu::GluRow(activation, value.Data<float>(), gate.Data<float>(), 100,
                value.MutableData<float>(), DType::kF32);
    EXPECT_LT(RmsError(value, want), 1e-6);
  }
}

TEST(GluRowTest, KeepsNan) {
  const float gate[3] = {NAN, 1, NAN};
  const float value[3] = {1, NAN, 1};
  for (const Activation activation : kActivations) {
    float out[3] = {};
    cpu::GluRow(activation, value, gate, 3, out, DType::kF32);
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]) && std::isnan(out[2]));
  }
}

TEST(GluErrorTest, RefusesWhatDoesNotFit) {
  Context ctx;
  Tensor a({4, 8}, DType::kF32);
  Tensor b({4, 7}, DType::kF32);
  Tensor half({4, 8}, DType::kF16);
  ExpectError(ErrorKind::kShape, "glu: gate must be [4, 8]", [&] {
    Glu(ctx, GluArgs{a, b, Activation::kSilu, a.mutable_view()});
  });
  ExpectError(ErrorKind::kShape, "glu: out", [&] {
    Glu(ctx, GluArgs{a, a, Activation::kSilu, b.mutable_view()});
  });
  ExpectError(ErrorKind::kUnsupported, "glu: value", [&] {
    Glu(ctx, GluArgs{half, half, Activation::kSilu, a.mutable_view()});
  });
  ExpectError(ErrorKind::kShape, "contiguous", [&] {
    const ConstView turned = a.view().Permute({1, 0});
    Tensor out({8, 4}, DType::kF32);
    Glu(ctx, GluArgs{turned, turned, Activation::kSilu, out.mutable_view()});
  });
}

TEST(ActivateTest, EqualsRef) {
  for (const auto& [in, out] :
       {std::pair(DType::kF32, DType::kF32), std::pair(DType::kBF16, DType::kF32),
        std::pair(DType::kF32, DType::kBF16)}) {
    const Tensor wide = RandomTensor({7, 56}, 1, in, 2);
    for (const auto& [begin, end] : {std::pair(3, 40), std::pair(8, 48)}) {
      for (const Activation activation : kActivations) {
        Tensor want({7, end - begin}, out);
        ActivateArgs args{wide.view().Slice(1, begin, end), activation, want.mutable_view()};
        RunImplementation(ActivateTable(), "ref", args);
        ForEachFast(ActivateTable(), args, [&](std::string_view name) {
          ForEachTarget([&] {
            Tensor got(want.shape(), out);
            args.out = got.mutable_view();
            RunImplementation(ActivateTable(), name, args);
            EXPECT_LT(RmsError(got, want), ToleranceOf(out));
          });
        });
      }
    }
  }
}

}  // namespace
}  // namespace gesso
