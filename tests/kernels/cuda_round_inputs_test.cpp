// Inputs of products of codes that are rounded as lanes hold them, as they are or as a norm makes
// them: against rows that are read number by number, and against ref. Lanes are emulated on the
// CPU.
#include <algorithm>
#include <vector>

#include "kernels/cuda/code_layout.h"
#include "kernels/cuda/norm_linear.h"
#include "kernels/cuda/quad_plan.h"
#include "tests/support/cuda_bodies.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

struct Rounding {
  bool float8;
  float input_scale;
};
constexpr Rounding kRoundings[] = {{false, 0}, {false, 0.02F}, {true, 0}};

// Codes and scales of rows, with memory that held something else.
struct Codes {
  std::vector<uint8_t> codes;
  std::vector<float> scales;
  cuda::RoundedRows to;

  Codes(int64_t rows, int64_t width, const Rounding& rounding) {
    to.width = width;
    to.padded = cuda::UpTo(width, cuda::CodeRows::kInputsMultiple);
    to.float8 = rounding.float8;
    to.input_scale = rounding.input_scale;
    codes.resize(static_cast<size_t>(rows * to.padded), 0xaa);
    scales.resize(static_cast<size_t>(rows), -1);
    to.codes = codes.data();
    to.scales = scales.data();
  }

  // What code k of a row stands for.
  float At(int64_t row, int64_t k) const {
    E4M3 code;
    code.bits = codes[static_cast<size_t>(row * to.padded + k)];
    const auto integer = static_cast<float>(static_cast<int8_t>(code.bits));
    return (to.float8 ? static_cast<float>(code) : integer) * scales[static_cast<size_t>(row)];
  }
};

// Of rows [rows, K], `stride` apart, number by number.
Codes RoundedOneByOne(const cuda::Numbers& x, int64_t rows, int64_t width, int64_t stride,
                      const Rounding& rounding) {
  Codes codes(rows, width, rounding);
  cuda::RoundInputsRow body;
  body.x = x;
  body.x_stride = stride;
  body.to = codes.to;
  RunRows(rows, body);
  return codes;
}

void ExpectSame(const Codes& got, const Codes& want) {
  EXPECT_EQ(got.codes, want.codes);
  EXPECT_EQ(std::memcmp(got.scales.data(), want.scales.data(), 4 * got.scales.size()), 0);
}

// What lanes have at the end of a row: a quad, all of them, and one more or less than that.
constexpr int64_t kWidths[] = {4,   36,   60,   64,   100,  128,  252,
                               384, 1000, 1020, 1024, 1152, 2052, 8192};

// All codes are next to the number, and those behind a row are zeros.
void ExpectNearest(const Codes& got, const Tensor& want) {
  const cuda::RoundedRows& to = got.to;
  const float* value = want.Data<float>();
  for (size_t row = 0; row < got.scales.size(); ++row, value += to.width) {
    const float scale = got.scales[row];
    const float most = std::abs(*std::max_element(
        value, value + to.width, [](float a, float b) { return std::abs(a) < std::abs(b); }));
    if (to.input_scale > 0) {
      EXPECT_EQ(scale, to.input_scale);
    } else if (to.float8) {
      EXPECT_LT(std::abs(most / scale - 336), 112.1F);  // up to 448, or it would be half as large
    } else {
      EXPECT_NEAR(most / scale, 127, 0.01);
    }
    int wrong = 0;
    for (int64_t k = 0; k < to.width; ++k) {
      const float bounded = to.float8 ? value[k] : std::clamp(value[k], -127 * scale, 127 * scale);
      const float step =
          to.float8 ? std::max(std::abs(value[k]) / 16, scale * 0x1p-10F) : scale / 2;
      const float error = std::abs(got.At(static_cast<int64_t>(row), k) - bounded);
      wrong += error <= 1.001F * step + 1e-6F ? 0 : 1;
    }
    for (int64_t k = to.width; k < to.padded; ++k) {
      wrong +=
          got.codes[row * static_cast<size_t>(to.padded) + static_cast<size_t>(k)] == 0 ? 0 : 1;
    }
    EXPECT_EQ(wrong, 0) << "row " << row;
  }
}

template <template <int> class InQuads, class Row, class Args>
void ExpectRounded(const OpTable<Args>& table, Args args, const Rounding& rounding, bool few) {
  const int64_t width = args.x.shape[2];
  const int64_t rows = args.x.numel() / width;
  SCOPED_TRACE(fmt::format("{} {} {} {}", table.op(), width, rounding.float8, few));
  Tensor narrow(args.x.shape, DType::kBF16);  // what the norm would write plays no part
  args.out = narrow.mutable_view();
  const Row as_codes(args);
  Codes got(rows, width, rounding);
  ASSERT_EQ(cuda::WhyNotRounded(as_codes, got.to), std::nullopt);
  Tensor normed(args.x.shape, DType::kF32);
  args.out = normed.mutable_view();
  const Row as_numbers(args);
  cuda::ShareOutQuads(rows, width, few ? 132 : 0, [&]<int kLanes, int kQuads>() {
    RunRowsByLanes(rows, kLanes,
                   cuda::RoundQuads<InQuads<kQuads>>{InQuads<kQuads>(as_codes), got.to});
    RunRowsByLanes(rows, kLanes, InQuads<kQuads>(as_numbers));
  });
  ExpectSame(got, RoundedOneByOne(cuda::Numbers(normed), rows, width, width, rounding));
  RunImplementation(table, "ref", args);
  ExpectNearest(got, normed);
}

class CudaRoundInputs : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaRoundInputs, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

void ExpectRoundedNorms(int64_t width, DType dtype, const Rounding& rounding, bool few) {
  const Tensor x = RandomTensor({2, width > 512 ? 1 : 3, width}, 1, dtype, 3);
  const Tensor wide = RandomTensor({2, width + 20}, 2);
  const ConstView scale = wide.view().Slice(1, 8, 8 + width);  // rows lie apart
  const Tensor shift = RandomTensor({width}, 3);
  const auto rms = [&](ConstView gain, ConstView added) {
    const RmsNormArgs args{
        .x = x, .scale = gain, .scale_offset = gain.empty() ? 0.0F : 1, .out = {}, .shift = added};
    ExpectRounded<cuda::RmsNormQuads, cuda::RmsNormRow>(RmsNormTable(), args, rounding, few);
  };
  const auto layer = [&](ConstView gain, ConstView added) {
    const LayerNormArgs args{
        .x = x, .scale = gain, .shift = added, .scale_offset = gain.empty() ? 0.0F : 1, .out = {}};
    ExpectRounded<cuda::LayerNormQuads, cuda::LayerNormRow>(LayerNormTable(), args, rounding, few);
  };
  rms(scale, {});
  layer(scale, shift);
  if (width > 512) return;
  rms({}, shift);
  layer({}, {});
}

TEST_P(CudaRoundInputs, AsNormsMakeThem) {
  for (const Rounding& rounding : kRoundings) {
    for (const int64_t width : kWidths) {
      ExpectRoundedNorms(width, GetParam(), rounding, false);
      if (width == 1000) ExpectRoundedNorms(width, GetParam(), rounding, true);
    }
  }
}

TEST_P(CudaRoundInputs, AsTheyAre) {
  for (const int64_t width : kWidths) {
    const Tensor x = RandomTensor({5, width + 4}, 1, GetParam());  // rows lie apart
    const cuda::Numbers numbers(x);
    for (const Rounding& rounding : kRoundings) {
      SCOPED_TRACE(fmt::format("{} {}", width, rounding.float8));
      Codes got(5, width, rounding);
      cuda::ShareOutQuads(5, width, 1, [&]<int kLanes, int kQuads>() {
        RunRowsByLanes(5, kLanes,
                       cuda::RoundQuads<cuda::InputQuads<kQuads>>{{numbers, width + 4}, got.to});
      });
      ExpectSame(got, RoundedOneByOne(numbers, 5, width, width + 4, rounding));
      ExpectNearest(got, Cast(x.view().Slice(1, 0, width), DType::kF32));
    }
  }
}

// Rows with numbers that are not finite, and one of zeros: the norm's result is NaN, or what it
// adds.
TEST(CudaRoundInputs, OfRowsThatAreNotFinite) {
  Tensor x = RandomTensor({1, 4, 36}, 1);
  x.MutableData<float>()[5] = NAN;
  x.MutableData<float>()[36 + 7] = INFINITY;
  std::fill_n(x.MutableData<float>() + 2 * 36, 36, 0.0F);
  for (const Rounding& rounding : kRoundings) {
    SCOPED_TRACE(rounding.float8);
    Tensor normed(x.shape(), DType::kF32);
    const cuda::RmsNormRow row(
        RmsNormArgs{.x = x, .scale = {}, .scale_offset = 1, .out = normed.mutable_view()});
    RunRowsByLanes(4, 8, cuda::RmsNormQuads<2>(row));
    const cuda::Numbers of_norm(normed);
    Codes got(4, 36, rounding);
    RunRowsByLanes(4, 8,
                   cuda::RoundQuads<cuda::RmsNormQuads<2>>{cuda::RmsNormQuads<2>(row), got.to});
    ExpectSame(got, RoundedOneByOne(of_norm, 4, 36, 36, rounding));
    EXPECT_EQ(std::isnan(got.At(0, 5)), rounding.float8);  // integers have no NaN
    EXPECT_EQ(got.At(2, 0), 0);
    const cuda::Numbers as_is(x);
    RunRowsByLanes(4, 8, cuda::RoundQuads<cuda::InputQuads<2>>{{as_is, 36}, got.to});
    ExpectSame(got, RoundedOneByOne(as_is, 4, 36, 36, rounding));
  }
}

TEST(CudaRoundInputs, IntegersAreTheNearest) {
  const auto code = [](float value) {
    return static_cast<int>(static_cast<int8_t>(cuda::IntegerCode(value)));
  };
  for (int i = -1300; i <= 1300; ++i) {
    const float value = static_cast<float>(i) / 10;
    EXPECT_EQ(code(value), static_cast<int>(std::nearbyint(std::clamp(value, -127.0F, 127.0F))));
  }
  for (const float half : {0.5F, 1.5F, -0.5F, -2.5F, 126.5F}) {
    EXPECT_EQ(code(half), static_cast<int>(std::nearbyint(half)));
  }
  EXPECT_EQ(code(1e-30F), 0);
  EXPECT_EQ(code(INFINITY), 127);
  EXPECT_EQ(code(-INFINITY), -127);
  EXPECT_EQ(code(NAN), 127);
}

TEST(CudaRoundInputs, OfNormsAreRefused) {
  Tensor x({2, 3, 8196}, DType::kBF16);
  const auto reason = [&](int64_t width, int64_t groups, const cuda::RoundedRows& to) {
    View rows = x.mutable_view();
    rows.shape = {2, 3, width};
    const RmsNormArgs args{.x = rows, .scale = {}, .out = rows, .groups = groups};
    return cuda::WhyNotRounded(cuda::RmsNormRow(args), to).value_or("");
  };
  cuda::RoundedRows to;
  to.width = 8192;
  EXPECT_EQ(reason(8192, 1, to), "");
  EXPECT_EQ(reason(8192, 2, to), "means of parts of a row");
  to.hadamard = 64;
  EXPECT_EQ(reason(8192, 1, to), "inputs that are rotated");
  to.hadamard = 1;
  for (const int64_t width : {30, 8196}) {
    to.width = width;
    EXPECT_EQ(reason(width, 1, to), "rows that do not stay in registers");
  }
}

}  // namespace
}  // namespace gesso
