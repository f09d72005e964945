// The arithmetic of the CUDA kernels for weights in few bits, run on the CPU.
#include <numeric>

#include "kernels/cuda/code_layout.h"
#include "kernels/cuda/device/bytes.cuh"
#include "kernels/cuda/device/round_inputs.cuh"
#include "tests/support/cuda_bodies.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// A matrix as kernels/cuda/low_bit.cu keeps it.
struct Kept {
  LowBitMatrix matrix;
  Tensor codes;
  cuda::CodeRows rows;

  explicit Kept(LowBitMatrix m)
      : matrix(std::move(m)),
        codes(cuda::FilledUp(matrix)),
        rows(cuda::RowsOf(matrix, codes, matrix.scale, matrix.group_scale)) {}
};

// Inputs that fill no word, no group; several groups; few outputs, and as many as vectors have.
constexpr std::pair<int64_t, int64_t> kSizes[] = {{5, 9}, {6, 30}, {7, 200}, {3, 384}, {16, 48}};

TEST(CudaLowBit, WritesOutSomeOutputsAtATime) {
  // Of kF8A8 on GPUs that do not multiply e4m3 numbers.
  for (const LowBit type : {LowBit::kQ8, LowBit::kQ4, LowBit::kF8, LowBit::kF8A8}) {
    for (const auto& [n, k] : kSizes) {
      const Kept kept(Quantize(RandomWeight(n, k), type));
      const Tensor want = kept.matrix.Dequantize();
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        Tensor got({n, k}, dtype);
        for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 2}, {2, n - 2}}) {
          cuda::DequantizeElement body;
          body.weight = kept.rows;
          body.first = first;
          body.out = cuda::Numbers(got.view()).From(first * k);
          RunElements(count * kept.rows.Words(), body);
        }
        EXPECT_TRUE(SameBits(got, Cast(want, dtype))) << NameOf(type) << " " << n << " x " << k;
      }
    }
  }
}

template <int kRows>
void MultiplyFew(const Kept& kept, const LinearArgs& args, int64_t first, int64_t count,
                 int64_t stride, bool whole) {
  const auto fill = [&](auto body) {
    body.weight = kept.rows;
    body.x = cuda::Numbers(args.x).From(first * stride);
    body.x_stride = stride;
    body.whole = whole;
    body.count = static_cast<int>(count);
    body.epilogue.bias = cuda::Numbers(args.bias);
    body.epilogue.residual = cuda::Numbers(args.residual);
    body.epilogue.out = cuda::Numbers(args.out);
    body.epilogue.width = kept.rows.rows;
    body.epilogue.activation = args.activation;
    body.first = first * kept.rows.rows;
    RunRows(kept.rows.rows, body);
  };
  if (kept.rows.four) return fill(cuda::CodeDotRow<kRows, cuda::Int4Codes>());
  kept.rows.float8 ? fill(cuda::CodeDotRow<kRows, cuda::Float8Codes>())
                   : fill(cuda::CodeDotRow<kRows, cuda::Int8Codes>());
}

TEST(CudaLowBit, MultipliesFewRows) {
  for (const LowBit type : {LowBit::kQ8, LowBit::kQ4, LowBit::kF8, LowBit::kF8A8}) {
    for (const auto& [n, k] : kSizes) {
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        const Kept kept(Quantize(RandomWeight(n, k), type));
        const PackedMatrix exact = PackMatrix(Device::kCpu, kept.matrix.Dequantize(), DType::kF32);
        const Tensor wide = RandomTensor({7, k + 4}, 2, dtype);
        const Tensor bias = RandomTensor({n}, 3);
        const Tensor residual = RandomTensor({7, n}, 4, dtype);
        // Rows apart and at any address, or where four inputs can be read at once.
        for (const int64_t begin : {0, 1}) {
          LinearArgs args;
          args.x = wide.view().Slice(1, begin, begin + k);
          args.weight = &exact;
          args.bias = bias;
          args.residual = residual;
          args.activation = Activation::kSilu;
          const bool whole = begin == 0 && (k + 4) % 4 == 0;
          ExpectLikeRef(LinearTable(), args, {7, n}, dtype, [&](const LinearArgs& mine) {
            MultiplyFew<4>(kept, mine, 0, 4, k + 4, whole);
            MultiplyFew<8>(kept, mine, 4, 2, k + 4, whole);
            MultiplyFew<1>(kept, mine, 6, 1, k + 4, whole);
          });
        }
      }
    }
  }
}

// x as a product that rounds it sees it, and the sums of products of codes.
struct Rounded {
  Tensor codes, scales, rotated, sums;
  cuda::CodeSums product;

  Rounded(const Kept& kept, ConstView x) {
    const cuda::CodeRows& rows = kept.rows;
    const int64_t count = x.shape[0];
    scales = Tensor({count}, DType::kF32);
    codes = Tensor({count, rows.padded}, rows.float8 ? DType::kF8E4M3 : DType::kI8);
    rotated = Tensor({count, rows.inputs}, DType::kF32);
    cuda::RoundInputsRow body;
    body.x = cuda::Numbers(x);
    body.x_stride = x.strides[0];
    body.to.width = rows.inputs;
    body.to.padded = rows.padded;
    body.to.float8 = rows.float8;
    body.to.input_scale = kept.matrix.input_scale;
    body.to.hadamard = kept.matrix.hadamard;
    body.to.rotated = rotated.MutableData<float>();
    body.to.codes = reinterpret_cast<uint8_t*>(codes.mutable_view().Bytes());
    body.to.scales = scales.MutableData<float>();
    RunRows(count, body);
    rows.float8 ? MultiplyFloat8(kept) : Multiply(kept);
  }

 private:
  // What cuBLASLt does.
  void Multiply(const Kept& kept) {
    const cuda::CodeRows& rows = kept.rows;
    const int64_t outputs = cuda::UpTo(rows.rows, cuda::CodeRows::kOutputsMultiple);
    Tensor wide({outputs, rows.padded}, DType::kI8);
    auto* const weights = wide.MutableData<int8_t>();
    if (rows.four) {
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 4}, {4, outputs - 4}}) {
        cuda::WidenCodesElement body;
        body.weight = rows;
        body.first = first;
        body.out = reinterpret_cast<uint32_t*>(weights + first * rows.padded);
        RunElements(count * rows.Words(), body);
      }
    } else {
      std::memcpy(weights, rows.codes, wide.view().bytes());
    }
    const int64_t count = codes.shape()[0];
    sums = Tensor({count, outputs}, DType::kI32);
    for (int64_t i = 0; i < count * outputs; ++i) {
      const int8_t* const x = codes.Data<int8_t>() + i / outputs * rows.padded;
      const int8_t* const w = weights + i % outputs * rows.padded;
      sums.MutableData<int32_t>()[i] = std::inner_product(x, x + rows.padded, w, 0);
    }
    product = {.sums = sums.Data<int32_t>(),
               .row_scales = scales.Data<float>(),
               .scale = rows.scale,
               .stride = outputs};
  }
  void MultiplyFloat8(const Kept& kept) {
    const cuda::CodeRows& rows = kept.rows;
    const int64_t count = codes.shape()[0];
    const int64_t outputs = cuda::UpTo(rows.rows, cuda::CodeRows::kOutputsMultiple);
    sums = Tensor({count, outputs}, DType::kF32);
    for (int64_t i = 0; i < count * outputs; ++i) {
      float sum = 0;
      for (int64_t k = 0; k < rows.padded; ++k) {
        sum += static_cast<float>(codes.Data<E4M3>()[i / outputs * rows.padded + k]) *
               static_cast<float>(kept.codes.Data<E4M3>()[i % outputs * rows.padded + k]);
      }
      sums.MutableData<float>()[i] = sum;
    }
    product = {.float_sums = sums.Data<float>(),
               .row_scales = scales.Data<float>(),
               .scale = rows.scale,
               .stride = outputs};
  }
};

// The CPU's products round x in the same way: both give the same but for float rounding, and what a
// rotation or a scale at the border between two codes makes of it.
TEST(CudaLowBit, MultipliesCodesAsTheCpuDoes) {
  for (const LowBit type : {LowBit::kW8A8, LowBit::kW4A8, LowBit::kF8A8}) {
    for (const auto& [n, k] : kSizes) {
      for (const float input_scale : {0.0F, 0.02F}) {
        for (const int64_t hadamard : {int64_t{1}, HadamardSize(k)}) {
          if (type == LowBit::kF8A8 && (input_scale > 0 || hadamard > 1)) continue;
          LowBitMatrix matrix = Quantize(RandomWeight(2 * n, k), type, hadamard);
          matrix.input_scale = input_scale;
          const PackedMatrix packed = PackLowBit(Device::kCpu, matrix, DType::kF32);
          const Kept kept(std::move(matrix));
          const Tensor x = RandomTensor({4, k}, 2);
          const Tensor bias = RandomTensor({2 * n}, 3);
          const Rounded rounded(kept, x);
          Context ctx;
          Tensor want({4, 2 * n}, DType::kF32);
          Tensor got({4, 2 * n}, DType::kF32);
          Linear(ctx, {.x = x,
                       .weight = &packed,
                       .bias = bias,
                       .activation = Activation::kGeluTanh,
                       .residual = {},
                       .out = want.mutable_view()});
          cuda::CodeEpilogueElement body;
          body.product = rounded.product;
          body.epilogue.bias = cuda::Numbers(bias);
          body.epilogue.out = cuda::Numbers(got);
          body.epilogue.width = 2 * n;
          body.epilogue.activation = Activation::kGeluTanh;
          EXPECT_EQ(RunInVectors(8 * n, body), n == 16);
          EXPECT_LT(RmsError(got, want), 1e-3) << NameOf(type) << " " << n << " x " << k;

          Tensor gated({4, n}, DType::kF32);
          Tensor own({4, n}, DType::kF32);
          LinearGlu(ctx, {.x = x,
                          .weight = &packed,
                          .activation = Activation::kSilu,
                          .out = gated.mutable_view()});
          cuda::CodeGluElement glu;
          glu.product = rounded.product;
          glu.out = cuda::Numbers(own);
          glu.features = n;
          glu.activation = Activation::kSilu;
          EXPECT_EQ(RunInVectors(4 * n, glu), n == 16);
          EXPECT_LT(RmsError(own, gated), 2e-3) << NameOf(type) << " " << n << " x " << k;
        }
      }
    }
  }
}

// Where the GPU does not multiply e4m3 numbers, it multiplies what they stand for.
TEST(CudaLowBit, RoundsInputsToNumbers) {
  const Kept kept(Quantize(RandomWeight(3, 200), LowBit::kF8A8));
  const Tensor x = RandomTensor({4, 200}, 2);
  const Rounded rounded(kept, x);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Tensor numbers({4, 200}, dtype);
    cuda::RoundToFloat8Row body;
    body.x = cuda::Numbers(x);
    body.x_stride = 200;
    body.width = 200;
    body.out = cuda::Numbers(numbers);
    RunRows(4, body);
    for (int64_t i = 0; i < 800; ++i) {
      const E4M3 code = rounded.codes.Data<E4M3>()[i / 200 * kept.rows.padded + i % 200];
      const float want = static_cast<float>(code) * rounded.scales.Data<float>()[i / 200];
      EXPECT_EQ(cuda::Numbers(numbers).Get(i), want);
    }
  }
}

TEST(CudaLowBit, KnowsWhichGpusMultiplyFloat8) {
  EXPECT_FALSE(cuda::MultipliesFloat8(8, 0));
  EXPECT_FALSE(cuda::MultipliesFloat8(8, 7));
  EXPECT_TRUE(cuda::MultipliesFloat8(8, 9));
  EXPECT_TRUE(cuda::MultipliesFloat8(9, 0));
  EXPECT_TRUE(cuda::MultipliesFloat8(12, 0));
}

// cuBLASLt reads whole multiples of 32 rows: memory is there for all of them.
TEST(CudaLowBit, HoldsAllRowsThatAreMultiplied) {
  for (const auto& [count, rows] : {std::pair<int64_t, int64_t>{1, 32}, {32, 32}, {33, 64}}) {
    const cuda::RoundedLayout turned(count, 200, 208, true);
    EXPECT_EQ(turned.rows, rows);
    EXPECT_EQ(turned.rotated, 256);
    EXPECT_EQ(turned.codes % 256, 0);
    EXPECT_GE(turned.codes, 256 + count * 200 * 4);
    EXPECT_EQ(turned.bytes, turned.codes + rows * 208);
    EXPECT_EQ(cuda::RoundedLayout(count, 200, 208, false).bytes, 256 + rows * 208);
  }
}

TEST(CudaLowBit, FillsUpWithCodesOfZero) {
  for (const LowBit type : kLowBits) {
    LowBitMatrix matrix = Quantize(RandomWeight(3, 9), type);
    const bool four = IsFourBit(type);
    // The half byte behind nine inputs is what a file has there.
    if (four) matrix.codes.MutableData<uint8_t>()[4] |= 0xf0;
    const Tensor codes = cuda::FilledUp(matrix);
    ASSERT_EQ(codes.shape(), Shape({16, four ? 8 : 16}));
    const auto* const words = static_cast<const uint32_t*>(codes.view().data);
    for (int64_t n = 0; n < 16; ++n) {
      for (int64_t k = n < 3 ? 9 : 0; k < 16; ++k) {
        const int code = four ? cuda::CodeOf4(words[n * 2 + k / 8], static_cast<int>(k % 8))
                              : cuda::CodeOf8(words[n * 4 + k / 4], static_cast<int>(k % 4));
        EXPECT_EQ(code, 0) << NameOf(type) << " " << n << ", " << k;
      }
    }
  }
}

TEST(CudaLowBit, RoundsRowsWithoutALargestValue) {
  const Kept kept(Quantize(RandomWeight(3, 20), LowBit::kW8A8));
  Tensor x({2, 20}, DType::kF32);
  x.MutableData<float>()[25] = NAN;  // counts as none when the largest is looked for
  const Rounded rounded(kept, x);
  for (int64_t i = 0; i < 2 * kept.rows.padded; ++i) {
    EXPECT_EQ(rounded.codes.Data<int8_t>()[i], i == kept.rows.padded + 5 ? 127 : 0) << i;
  }
  EXPECT_EQ(rounded.scales.Data<float>()[0], 0);
}

TEST(CudaBytes, AreWrittenInParts) {
  std::vector<unsigned char> from(2500);
  std::iota(from.begin(), from.end(), static_cast<unsigned char>(3));
  std::vector<unsigned char> to(2501, 77);
  int launches = 0;
  cuda::WriteBytes(to.data(), from.data(), from.size(),
                   [&](int64_t count, const cuda::BytesElement& body) {
                     ++launches;
                     RunElements(count, body);
                   });
  EXPECT_EQ(launches, 3);
  EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin()));
  EXPECT_EQ(to.back(), 77);
}

}  // namespace
}  // namespace gesso
