// The frame of `gesso verify`: what counts as equal, and what a case must be.
#include "pipelines/verify/case.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace gesso {
namespace {

Tensor Floats(const std::vector<float>& values) {
  Tensor tensor({static_cast<int64_t>(values.size())}, DType::kF32);
  std::copy(values.begin(), values.end(), tensor.MutableData<float>());
  return tensor;
}

Tensor Ints(const std::vector<int32_t>& values) {
  Tensor tensor({static_cast<int64_t>(values.size())}, DType::kI32);
  std::copy(values.begin(), values.end(), tensor.MutableData<int32_t>());
  return tensor;
}

Weights CaseFile() {
  Weights file;
  file.path = "case.safetensors";
  file.metadata = {{"system", "hdit"}, {"config", R"({"a": 1})"}, {"tolerance", "0.0001"}};
  file.tensors["weights/proj.weight"] = Floats({1});
  file.tensors["out/x"] = Floats({3, 4});
  file.tensors["out/ids"] = Ints({1, 2, 3, 4});
  return file;
}

ErrorKind KindOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::kInternal;
}

TEST(ParityCase, ComparesByRelativeRms) {
  ParityCase parity_case(CaseFile(), {});
  parity_case.Compare("out/x", Floats({3, 4.00025f}));  // off by 0.00025 / 5
  parity_case.Compare("out/x", Floats({3, 4.001f}));    // off by 0.001 / 5
  ASSERT_EQ(parity_case.comparisons().size(), 2u);
  EXPECT_NEAR(parity_case.comparisons()[0].error, 5e-5, 1e-6);
  EXPECT_TRUE(parity_case.comparisons()[0].passed());
  EXPECT_NEAR(parity_case.comparisons()[1].error, 2e-4, 1e-6);
  EXPECT_FALSE(parity_case.comparisons()[1].passed());
}

TEST(ParityCase, NanAndInfinityFail) {
  ParityCase parity_case(CaseFile(), {.dtype = DType::kBF16});
  parity_case.Compare("out/x", Floats({3, std::nanf("")}));
  parity_case.Compare("out/x", Floats({3, std::numeric_limits<float>::infinity()}));
  for (const Comparison& comparison : parity_case.comparisons()) {
    EXPECT_FALSE(comparison.passed()) << comparison.error;
  }
}

TEST(ParityCase, IntegersMustBeEqual) {
  ParityCase parity_case(CaseFile(), {});
  parity_case.Compare("out/ids", Ints({1, 2, 3, 4}));
  parity_case.Compare("out/ids", Ints({1, 2, 3, 5}));
  EXPECT_TRUE(parity_case.comparisons()[0].passed());
  EXPECT_FALSE(parity_case.comparisons()[1].passed());
  EXPECT_DOUBLE_EQ(parity_case.comparisons()[1].error, 0.25);
}

TEST(ParityCase, BFloat16WidensTheTolerance) {
  EXPECT_DOUBLE_EQ(ParityCase(CaseFile(), {}).tolerance(), 1e-4);
  EXPECT_DOUBLE_EQ(ParityCase(CaseFile(), {.dtype = DType::kBF16}).tolerance(), 3e-2);
}

TEST(ParityCase, GivesTheModelItsOwnNames) {
  const Weights model = ParityCase(CaseFile(), {}).ModelWeights();
  ASSERT_EQ(model.tensors.size(), 1u);
  EXPECT_TRUE(model.tensors.contains("proj.weight"));
}

TEST(ParityCase, TapComparesWhatTheCaseRecorded) {
  Weights file = CaseFile();
  file.tensors["mid/cond"] = Floats({1, 2});
  ParityCase parity_case(std::move(file), {});
  ParityTap tap(parity_case);
  tap.Record("cond", Floats({1, 2}));
  tap.Record("something_else", Floats({1}));
  ASSERT_EQ(parity_case.comparisons().size(), 1u);
  EXPECT_EQ(parity_case.comparisons()[0].name, "mid/cond");
}

TEST(ParityCase, NamesOutputsThatNobodyCompared) {
  Weights file = CaseFile();
  file.tensors["out/never"] = Floats({1});
  const auto left = ParityCase(std::move(file), {}).OutputsNotCompared();
  EXPECT_THAT(left, ::testing::Contains("out/never"));
}

TEST(ParityCase, RefusesWhatIsNoCase) {
  for (const char* field : {"system", "config", "tolerance"}) {
    Weights file = CaseFile();
    file.metadata.erase(field);
    EXPECT_EQ(KindOf([&] { ParityCase(std::move(file), {}); }), ErrorKind::kFormat) << field;
  }
  for (const char* tolerance : {"", "abc", "nan", "-1", "0", "1e-4x"}) {
    Weights file = CaseFile();
    file.metadata["tolerance"] = tolerance;
    EXPECT_EQ(KindOf([&] { ParityCase(std::move(file), {}); }), ErrorKind::kFormat) << tolerance;
  }
}

TEST(ParityCase, ShapesAndKindsOfElementMustAgree) {
  ParityCase parity_case(CaseFile(), {});
  EXPECT_EQ(KindOf([&] { parity_case.Compare("out/x", Floats({3, 4, 5})); }), ErrorKind::kShape);
  EXPECT_EQ(KindOf([&] { parity_case.Compare("out/x", Ints({3, 4})); }), ErrorKind::kShape);
  EXPECT_EQ(KindOf([&] { parity_case.Compare("out/y", Floats({3})); }), ErrorKind::kFormat);
}

TEST(VerifySystems, FamiliesMatchByPrefixAndSystemsExactly) {
  for (const VerifySystem& system : VerifySystems()) {
    const bool family = system.prefix.ends_with('.');
    // A longer name may belong to a family further down the table, never to an exact system.
    EXPECT_EQ(FindVerifySystem(std::string(system.prefix) + "x") == &system, family);
  }
  EXPECT_NE(FindVerifySystem("op.neighborhood_attention"), nullptr);
  EXPECT_EQ(FindVerifySystem("no_such_system"), nullptr);
}

}  // namespace
}  // namespace gesso
