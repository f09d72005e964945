// What the CUDA side decides by, on the CPU: searches and error estimates by the arithmetic of its
// kernels, and which convolutions cuDNN is asked for.
#include <gmock/gmock.h>

#include <array>
#include <vector>

#include "kernels/cuda/cudnn_conv.h"
#include "kernels/cuda/device/nearest_code.cuh"
#include "kernels/cuda/device/scaled_error.cuh"
#include "kernels/cuda/free_blocks.h"
#include "kernels/cuda/product_sum.h"
#include "kernels/cuda/uploads.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// What the GPU finds with its codes cut into `slices`.
std::vector<int32_t> Search(const Tensor& z, const Tensor& codes, int64_t slices) {
  const PackedCodebook codebook = PackCodebook(Device::kCpu, codes);
  cuda::NearestCodeSearch search(NearestCodeArgs{z, &codebook, {}}, codes);
  search.slices = slices;
  std::vector<cuda::NearestInSlice> found(static_cast<size_t>(slices * search.rows));
  std::vector<int32_t> tokens(static_cast<size_t>(search.rows), -1);
  const cuda::NearestInSliceElement part{search, found.data()};
  for (int64_t i = 0; i < slices * search.rows; ++i) part(i);
  const cuda::NearestCodeElement whole{found.data(), tokens.data(), search.rows, slices};
  for (int64_t i = 0; i < search.rows; ++i) whole(i);
  return tokens;
}

void ExpectLikeRef(const Tensor& z, const Tensor& codes) {
  const PackedCodebook codebook = PackCodebook(Device::kCpu, codes);
  std::vector<int32_t> want(static_cast<size_t>(z.shape()[0]), -1);
  RunImplementation(NearestCodeTable(), "ref",
                    NearestCodeArgs{z, &codebook, View(want.data(), {z.shape()[0]}, DType::kI32)});
  for (const int64_t slices : {int64_t{1}, int64_t{3}, codes.shape()[0]}) {
    EXPECT_EQ(Search(z, codes, slices), want) << slices;
  }
}

TEST(CudaNearestCode, IsThatOfRef) {
  Tensor codes = RandomTensor({61, 12}, 2);
  float* values = codes.MutableData<float>();
  std::copy_n(values, 20 * 12, values + 30 * 12);  // the lower index of two equal ones
  Tensor z = RandomTensor({40, 12}, 1);
  std::copy_n(values + 33 * 12, 12, z.MutableData<float>() + 12);
  z.MutableData<float>()[5] = NAN;
  ExpectLikeRef(z, codes);
  values[40 * 12] = NAN;  // first of a slice, and of all
  ExpectLikeRef(z, codes);
  values[0] = NAN;
  ExpectLikeRef(z, codes);
  ExpectLikeRef(RandomTensor({1, 3}, 1), RandomTensor({4, 3}, 2));
}

TEST(CudaNearestCode, CutsCodesIntoNoMoreSlicesThanThereAre) {
  EXPECT_EQ(cuda::NearestCodeSearch::SlicesOf(1, 4096), 4096);
  EXPECT_EQ(cuda::NearestCodeSearch::SlicesOf(256, 4096), 256);
  EXPECT_EQ(cuda::NearestCodeSearch::SlicesOf(1 << 20, 4096), 1);
}

TEST(CudaScaledError, IsThatOfRef) {
  for (const int64_t count : {int64_t{1}, int64_t{1000}, int64_t{20001}}) {
    const Tensor a = RandomTensor({count}, 1);
    const Tensor b = RandomTensor({count}, 2);
    const Tensor reference = RandomTensor({count}, 3, DType::kF32, 4);
    double want = 0;
    const ScaledErrorArgs args{a, b, reference, 0.01, 0.3, &want};
    RunImplementation(ScaledErrorTable(), "ref", args);
    cuda::ScaledErrorPart body(args);
    std::vector<double> sums(static_cast<size_t>(body.parts));
    body.sums = sums.data();
    for (int64_t i = 0; i < body.parts; ++i) body(i);
    EXPECT_NEAR(body.RootMeanSquare(sums.data()), want, 1e-13 * want) << count;
    double got = 0;
    ForEachFast(ScaledErrorTable(), args, [&](std::string_view name) {
      RunImplementation(ScaledErrorTable(), name, {a, b, reference, 0.01, 0.3, &got});
      EXPECT_NEAR(got, want, 1e-13 * want) << count;
    });
  }
}

TEST(Uploads, CountWhatIsThere) {
  cuda::Uploads uploads;
  std::vector<std::byte> memory(100);
  std::byte* const block = memory.data();
  uploads.Add(block, 40);
  uploads.Add(block + 40, 20);
  uploads.Add(block + 60, 40);
  EXPECT_EQ(uploads.bytes(), 100u);
  uploads.Add(block + 40, 20);  // once more
  EXPECT_EQ(uploads.bytes(), 100u);
  EXPECT_TRUE(uploads.Remove(block, 60));
  EXPECT_EQ(uploads.bytes(), 40u);
  EXPECT_FALSE(uploads.Remove(block, 60));  // memory of nothing uploaded
  EXPECT_EQ(uploads.bytes(), 40u);
  EXPECT_TRUE(uploads.Remove(block + 60, 40));
  EXPECT_EQ(uploads.bytes(), 0u);
}

TEST(Uploads, TellWhetherValuesAreTheSame) {
  cuda::Uploads uploads;
  std::array<char, 32> memory{};
  EXPECT_EQ(uploads.IdOf(memory.data()), 0U);
  uploads.Add(memory.data(), 8);
  uploads.Add(memory.data() + 16, 8);
  const uint64_t id = uploads.IdOf(memory.data());
  EXPECT_NE(id, 0U);
  EXPECT_EQ(uploads.IdOf(memory.data()), id);
  EXPECT_NE(uploads.IdOf(memory.data() + 16), id);
  EXPECT_EQ(uploads.IdOf(memory.data() + 1), 0U);
  uploads.Remove(memory.data(), 32);
  EXPECT_EQ(uploads.IdOf(memory.data()), 0U);
  uploads.Add(memory.data(), 8);  // something else at the same place
  EXPECT_NE(uploads.IdOf(memory.data()), id);
  const uint64_t other = uploads.IdOf(memory.data());
  uploads.Add(memory.data(), 8);  // filled anew
  EXPECT_NE(uploads.IdOf(memory.data()), other);
}

TEST(Uploads, MakeRoomForWork) {
  EXPECT_EQ(cuda::FreeBesideWeights(30, 0, 80), 30u);
  EXPECT_EQ(cuda::FreeBesideWeights(30, 40, 80), 70u);
  EXPECT_EQ(cuda::FreeBesideWeights(1, 200, 80), 80u);  // more weights than memory
  EXPECT_EQ(cuda::FreeBesideWeights(90, 5, 80), 90u);   // others have ended
}

TEST(FreeBlocks, AreTakenByTheirSize) {
  std::vector<std::byte> memory(3);
  cuda::FreeBlocks blocks(100);
  EXPECT_EQ(blocks.Take(40), std::nullopt);
  EXPECT_TRUE(blocks.Give(&memory[0], 40));
  EXPECT_TRUE(blocks.Give(&memory[1], 40));
  EXPECT_FALSE(blocks.Give(&memory[2], 21));  // more than it keeps
  EXPECT_EQ(blocks.bytes(), 80u);
  EXPECT_EQ(blocks.Take(20), std::nullopt);
  EXPECT_EQ(blocks.Take(40), &memory[1]);
  EXPECT_TRUE(blocks.Give(&memory[2], 21));
  EXPECT_THAT(blocks.TakeAll(), testing::UnorderedElementsAre(&memory[0], &memory[2]));
  EXPECT_EQ(blocks.bytes(), 0u);
  EXPECT_EQ(blocks.Take(40), std::nullopt);
}

TEST(FreeBlocks, AreAnEighthLargerAtMost) {
  for (const size_t bytes :
       {size_t{1}, size_t{4096}, size_t{65'537}, size_t{1'000'000}, (size_t{3} << 30) + 7}) {
    const size_t block = cuda::FreeBlocks::BlockBytes(bytes);
    EXPECT_GE(block, bytes);
    EXPECT_LE(block, std::max<size_t>(bytes + bytes / 8, bytes + 4096)) << bytes;
    EXPECT_EQ(cuda::FreeBlocks::BlockBytes(block), block);
  }
}

TEST(Cudnn, IsAskedForWhatItCanDo) {
  const Tensor x = RandomTensor({1, 8, 8, 4}, 1);
  const Tensor half = RandomTensor({1, 8, 8, 4}, 1, DType::kBF16);
  const auto reason = [&](int64_t taps, Conv2dShape conv, DType type, const Tensor& from) {
    const PackedKernel kernel(nullptr, {4, 4 / conv.groups, taps, taps}, type, conv);
    const Conv2dArgs args{.x = from,
                          .kernel = &kernel,
                          .bias = {},
                          .residual = {},
                          .out = View(nullptr, {}, DType::kF32)};
    return cuda::WhyNotCudnnShape(args).value_or("");
  };
  EXPECT_EQ(reason(3, {.padding = 1}, DType::kF32, x), "");
  EXPECT_EQ(reason(3, {.padding = 1, .groups = 2}, DType::kF32, x), "");
  EXPECT_EQ(reason(3, {.stride = 2, .end_padding = 1}, DType::kF32, x), "padding at one end alone");
  EXPECT_EQ(reason(1, {}, DType::kF32, x), "a product of matrices as it is");
  EXPECT_EQ(reason(1, {.groups = 2}, DType::kF32, x), "");
  EXPECT_EQ(reason(1, {}, DType::kF32, half), "");  // x has to be widened
  EXPECT_EQ(reason(3, {}, DType::kBF16, half), "");
}

// Whether cuBLASLt is asked to do all of `epilogue`, of products in `in`.
bool IsSum(DType in, const cuda::Epilogue& epilogue) {
  return cuda::SumOf(in, epilogue).has_value();
}

TEST(CudaProductSum, IsWhatCublasLtDoesInOne) {
  const Tensor f32({64}, DType::kF32);
  const Tensor bf16({64}, DType::kBF16);
  const cuda::Numbers floats(f32.view());
  const cuda::Numbers halves(bf16.view());
  EXPECT_TRUE(IsSum(DType::kF32, {.out = floats}));
  EXPECT_TRUE(IsSum(DType::kBF16, {.out = floats}));
  EXPECT_TRUE(IsSum(DType::kBF16, {.out = halves}));
  EXPECT_FALSE(IsSum(DType::kF32, {.out = halves}));
  EXPECT_TRUE(IsSum(DType::kBF16, {.bias = floats, .residual = floats, .out = floats}));
  EXPECT_FALSE(IsSum(DType::kBF16, {.residual = halves, .out = floats}));
  EXPECT_TRUE(IsSum(DType::kBF16, {.residual = halves, .out = halves}));
  // bfloat16 takes the rounded bias, float32 never.
  EXPECT_FALSE(IsSum(DType::kBF16, {.bias = floats, .out = halves}));
  EXPECT_EQ(
      cuda::SumOf(DType::kBF16, {.bias = floats, .rounded_bias = halves, .out = halves})->bias.data,
      halves.data);
  EXPECT_EQ(
      cuda::SumOf(DType::kBF16, {.bias = floats, .rounded_bias = halves, .out = floats})->bias.data,
      floats.data);
  EXPECT_FALSE(IsSum(DType::kBF16, {.bias = floats.From(1), .out = floats}));  // 4 bytes on
  EXPECT_TRUE(IsSum(DType::kBF16, {.bias = floats.From(4), .out = floats}));
}

TEST(CudaProductSum, HasOneActivation) {
  const Tensor f32({64}, DType::kF32);
  const Tensor bf16({64}, DType::kBF16);
  const cuda::Numbers floats(f32.view());
  const cuda::Numbers halves(bf16.view());
  const auto with = [&](Activation activation, cuda::Numbers residual, cuda::Numbers out) {
    return cuda::SumOf(DType::kBF16, {.bias = floats,
                                      .rounded_bias = halves,
                                      .activation = activation,
                                      .residual = residual,
                                      .out = out});
  };
  EXPECT_FALSE(with(Activation::kNone, {}, halves)->gelu);
  EXPECT_TRUE(with(Activation::kGeluTanh, {}, halves)->gelu);
  EXPECT_TRUE(with(Activation::kGeluTanh, {}, halves)->From(8).gelu);
  EXPECT_FALSE(with(Activation::kGeluTanh, {}, floats));      // less exact than it
  EXPECT_FALSE(with(Activation::kGeluTanh, halves, halves));  // would be activated as well
  EXPECT_FALSE(with(Activation::kGeluErf, {}, halves));
  EXPECT_FALSE(with(Activation::kSilu, {}, halves));
}

}  // namespace
}  // namespace gesso
