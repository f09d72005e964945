#include "kernels/low_bit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/core/float8.h"
#include "kernels/core/parallel.h"
#include "kernels/cpu/low_bit.h"
#include "kernels/cuda/low_bit.h"

namespace gesso {

namespace {

constexpr std::array<std::string_view, kLowBits.size()> kNames = {"q8",   "q4", "w8a8",
                                                                  "w4a8", "f8", "f8a8"};
constexpr int kMaxCode8 = 127;
constexpr int kMaxCode4 = 7;
constexpr int kMaxGroupScale = kMaxCode8 / kMaxCode4;  // so that both together are an i8
constexpr int64_t kMaxIntegerCols = 1 << 17;           // 127 * 127 * this fits an i32

float LargestOf(const float* values, int64_t count) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

int Code(float value, float scale, int most) {
  return scale > 0 ? std::clamp(static_cast<int>(std::lround(value / scale)), -most, most) : 0;
}

double SquaredError(const float* values, int64_t count, float scale, int most) {
  double error = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double difference = values[i] - static_cast<float>(Code(values[i], scale, most)) * scale;
    error += difference * difference;
  }
  return error;
}

// Of the scales candidate(0) .. candidate(count - 1), the number of the best.
template <class Candidate>
int BestScale(const float* values, int64_t length, int count, const Candidate& candidate) {
  int best = 0;
  double least = INFINITY;
  for (int i = 0; i < count; ++i) {
    const double error = SquaredError(values, length, candidate(i), kMaxCode4);
    if (error >= least) continue;
    least = error;
    best = i;
  }
  return best;
}

// Writes the codes of one row.
class RowWriter {
 public:
  RowWriter(LowBitMatrix& matrix, int64_t row) : matrix_(matrix), row_(row) {}

  void Put(int64_t col, int code) {
    if (!IsFourBit(matrix_.type)) {
      matrix_.codes.MutableData<int8_t>()[row_ * matrix_.cols + col] = static_cast<int8_t>(code);
      return;
    }
    uint8_t& byte = matrix_.codes.MutableData<uint8_t>()[row_ * ((matrix_.cols + 1) / 2) + col / 2];
    const int nibble = code + 8;
    byte =
        static_cast<uint8_t>(col % 2 == 0 ? (byte & 0xf0) | nibble : (byte & 0x0f) | (nibble << 4));
  }

 private:
  LowBitMatrix& matrix_;
  int64_t row_;
};

// Groups with scales of their own, in bfloat16.
void QuantizeGroups(const float* weight, LowBitMatrix& matrix, int64_t row) {
  const bool four = IsFourBit(matrix.type);
  const int most = four ? kMaxCode4 : kMaxCode8;
  const int64_t groups = LowBitGroups(matrix.cols);
  RowWriter writer(matrix, row);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = g * kLowBitGroup;
    const int64_t count = std::min(kLowBitGroup, matrix.cols - begin);
    const float full = LargestOf(weight + begin, count) / static_cast<float>(most);
    const auto candidate = [&](int i) {
      return static_cast<float>(BFloat16(full * (1 - 0.04F * static_cast<float>(i))));
    };
    const int best = four ? BestScale(weight + begin, count, 8, candidate) : 0;
    const float scale = candidate(best);
    matrix.scale.MutableData<BFloat16>()[row * groups + g] = BFloat16(scale);
    for (int64_t i = 0; i < count; ++i) {
      writer.Put(begin + i, Code(weight[begin + i], scale, most));
    }
  }
}

// One scale for the row, and at 4 bits a whole factor of it a group.
void QuantizeRow(const float* weight, LowBitMatrix& matrix, int64_t row) {
  const float largest = LargestOf(weight, matrix.cols);
  const bool four = IsFourBit(matrix.type);
  const float scale = largest / static_cast<float>(four ? kMaxCode4 * kMaxGroupScale : kMaxCode8);
  matrix.scale.MutableData<float>()[row] = scale;
  RowWriter writer(matrix, row);
  const int64_t groups = LowBitGroups(matrix.cols);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = g * kLowBitGroup;
    const int64_t count = std::min(kLowBitGroup, matrix.cols - begin);
    float step = scale;
    if (four) {
      const auto candidate = [&](int i) { return scale * static_cast<float>(i + 1); };
      const int factor = 1 + BestScale(weight + begin, count, kMaxGroupScale, candidate);
      matrix.group_scale.MutableData<uint8_t>()[row * groups + g] = static_cast<uint8_t>(factor);
      step = scale * static_cast<float>(factor);
    }
    for (int64_t i = 0; i < count; ++i) {
      writer.Put(begin + i, Code(weight[begin + i], step, four ? kMaxCode4 : kMaxCode8));
    }
  }
}

// In e4m3, in groups or as one.
void QuantizeFloat8(const float* weight, LowBitMatrix& matrix, int64_t row) {
  const int64_t group = RoundsInputs(matrix.type) ? matrix.cols : kLowBitGroup;
  const int64_t groups = (matrix.cols + group - 1) / group;
  E4M3* const codes = matrix.codes.MutableData<E4M3>() + row * matrix.cols;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = g * group;
    const int64_t end = std::min(begin + group, matrix.cols);
    const float scale = E4M3Scale(LargestOf(weight + begin, end - begin));
    if (RoundsInputs(matrix.type)) {
      matrix.scale.MutableData<float>()[row] = scale;
    } else {
      matrix.scale.MutableData<BFloat16>()[row * groups + g] = BFloat16(scale);
    }
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (int64_t k = begin; k < end; ++k) codes[k] = E4M3(weight[k] * inverse);
  }
}

float ScaleAt(ConstView scale, int64_t i) {
  return scale.dtype == DType::kBF16 ? static_cast<float>(scale.Data<BFloat16>()[i])
                                     : scale.Data<float>()[i];
}

void RequireLike(const char* what, const Tensor& tensor, const Shape& shape, DType dtype) {
  Require(!tensor.empty() && tensor.shape() == shape && tensor.dtype() == dtype, ErrorKind::kFormat,
          "{}: expected {} {}, got {} {}", what, NameOf(dtype), shape, NameOf(tensor.dtype()),
          tensor.shape());
}

}  // namespace

std::string_view NameOf(LowBit type) { return kNames[static_cast<size_t>(type)]; }

std::optional<LowBit> LowBitNamed(std::string_view name) {
  const auto* const found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<LowBit>(found - kNames.begin());
}

float LowBitMatrix::At(int64_t row, int64_t col) const {
  const int64_t group = row * LowBitGroups(cols) + col / kLowBitGroup;
  const float by = ScaleAt(scale, RoundsInputs(type) ? row : group);
  if (IsFloat8(type)) return static_cast<float>(codes.Data<E4M3>()[row * cols + col]) * by;
  int code = 0;
  if (IsFourBit(type)) {
    const uint8_t byte = codes.Data<uint8_t>()[row * ((cols + 1) / 2) + col / 2];
    code = (col % 2 == 0 ? byte & 0x0f : byte >> 4) - 8;
  } else {
    code = codes.Data<int8_t>()[row * cols + col];
  }
  if (type == LowBit::kW4A8) code *= group_scale.Data<uint8_t>()[group];
  return static_cast<float>(code) * by;
}

Tensor LowBitMatrix::Dequantize() const {
  Tensor weight({rows, cols}, DType::kF32);
  float* const to = weight.MutableData<float>();
  ParallelFor(rows, [&](int64_t row) {
    for (int64_t col = 0; col < cols; ++col) to[row * cols + col] = At(row, col);
    // H is its own inverse.
    if (hadamard > 1) Hadamard(to + row * cols, cols, hadamard);
  });
  return weight;
}

size_t LowBitMatrix::bytes() const {
  return codes.view().bytes() + scale.view().bytes() +
         (group_scale.empty() ? 0 : group_scale.view().bytes());
}

void LowBitMatrix::Check() const {
  const bool four = IsFourBit(type);
  const bool integer = IsIntegerProduct(type);
  const int64_t groups = LowBitGroups(cols);
  if (four) {
    RequireLike("codes", codes, {rows, (cols + 1) / 2}, DType::kU8);
  } else {
    RequireLike("codes", codes, {rows, cols}, IsFloat8(type) ? DType::kF8E4M3 : DType::kI8);
  }
  if (IsFloat8(type)) {
    const std::span<const E4M3> numbers(codes.Data<E4M3>(), static_cast<size_t>(rows * cols));
    Require(std::ranges::none_of(numbers, &E4M3::IsNaN), ErrorKind::kFormat,
            "codes: hold NaN values");
  }
  if (RoundsInputs(type)) {
    RequireLike("scale", scale, {rows}, DType::kF32);
  } else {
    Require(scale.dtype() == DType::kBF16 || scale.dtype() == DType::kF32, ErrorKind::kFormat,
            "scale: expected bfloat16 or float32, got {}", NameOf(scale.dtype()));
    RequireLike("scale", scale, {rows, groups}, scale.dtype());
  }
  for (int64_t i = 0; i < scale.view().numel(); ++i) {
    const float value = ScaleAt(scale, i);
    Require(std::isfinite(value) && value >= 0, ErrorKind::kFormat,
            "scale: number {} is {}, not a finite number from 0 on", i, value);
  }
  if (type == LowBit::kW4A8) {
    RequireLike("group_scale", group_scale, {rows, groups}, DType::kU8);
    const uint8_t* const factors = group_scale.Data<uint8_t>();
    for (int64_t i = 0; i < rows * groups; ++i) {
      Require(factors[i] >= 1 && factors[i] <= kMaxGroupScale, ErrorKind::kFormat,
              "group_scale: number {} is {}, not 1 .. {}", i, factors[i], kMaxGroupScale);
    }
  }
  Require(std::isfinite(input_scale) && input_scale >= 0, ErrorKind::kFormat,
          "input_scale: {} is not a positive number", input_scale);
  Require(hadamard >= 1 && (hadamard & (hadamard - 1)) == 0 && cols % hadamard == 0,
          ErrorKind::kFormat, "hadamard: {} is not a power of two that divides {}", hadamard, cols);
  Require(integer || (input_scale == 0 && hadamard == 1), ErrorKind::kFormat,
          "input_scale and hadamard belong to w8a8 and w4a8 only");
  Require(!integer || cols < kMaxIntegerCols, ErrorKind::kUnsupported,
          "integer products of {} inputs: fewer than {} are supported", cols, kMaxIntegerCols);
}

LowBitMatrix Quantize(ConstView weight, LowBit type, int64_t hadamard) {
  Require(weight.shape.rank() == 2 && weight.numel() > 0, ErrorKind::kShape,
          "weights of a product must be a matrix, got {}", weight.shape);
  CHECK(hadamard == 1 || (IsIntegerProduct(type) && weight.shape[1] % hadamard == 0));
  Tensor values = Cast(weight, DType::kF32);
  LowBitMatrix matrix;
  matrix.type = type;
  matrix.rows = weight.shape[0];
  matrix.cols = weight.shape[1];
  matrix.hadamard = hadamard;
  const int64_t groups = LowBitGroups(matrix.cols);
  if (IsFourBit(type)) {
    matrix.codes = Tensor({matrix.rows, (matrix.cols + 1) / 2}, DType::kU8);
    constexpr uint8_t kZeros = 0x88;
    std::fill_n(matrix.codes.MutableData<uint8_t>(), matrix.codes.view().numel(), kZeros);
  } else {
    matrix.codes = Tensor({matrix.rows, matrix.cols}, IsFloat8(type) ? DType::kF8E4M3 : DType::kI8);
  }
  matrix.scale = RoundsInputs(type) ? Tensor({matrix.rows}, DType::kF32)
                                    : Tensor({matrix.rows, groups}, DType::kBF16);
  if (type == LowBit::kW4A8) matrix.group_scale = Tensor({matrix.rows, groups}, DType::kU8);
  float* const from = values.MutableData<float>();
  ParallelFor(matrix.rows, [&](int64_t row) {
    float* const weights = from + row * matrix.cols;
    if (hadamard > 1) Hadamard(weights, matrix.cols, hadamard);
    if (IsFloat8(type)) return QuantizeFloat8(weights, matrix, row);
    IsIntegerProduct(type) ? QuantizeRow(weights, matrix, row)
                           : QuantizeGroups(weights, matrix, row);
  });
  return matrix;
}

LowBitMatrix Stack(std::span<const LowBitMatrix> parts) {
  LowBitMatrix all = parts.front();
  all.rows = 0;
  for (const LowBitMatrix& part : parts) {
    CHECK(part.type == all.type && part.cols == all.cols && part.hadamard == all.hadamard &&
          part.scale.dtype() == all.scale.dtype());
    all.rows += part.rows;
    all.input_scale = std::max(all.input_scale, part.input_scale);
  }
  const auto stack = [&](Tensor LowBitMatrix::*member) {
    Shape shape = (parts.front().*member).shape();
    shape.Set(0, all.rows);
    Tensor stacked(shape, (parts.front().*member).dtype());
    auto* to = stacked.mutable_view().Bytes();
    for (const LowBitMatrix& part : parts) {
      const ConstView from = part.*member;
      to = std::copy_n(from.Bytes(), from.bytes(), to);
    }
    all.*member = std::move(stacked);
  };
  stack(&LowBitMatrix::codes);
  stack(&LowBitMatrix::scale);
  if (all.type == LowBit::kW4A8) stack(&LowBitMatrix::group_scale);
  return all;
}

int64_t HadamardSize(int64_t cols) { return cols & -cols; }

void Hadamard(float* values, int64_t count, int64_t size) {
  const float norm = 1 / std::sqrt(static_cast<float>(size));
  for (float* block = values; block < values + count; block += size) {
    for (int64_t half = 1; half < size; half *= 2) {
      for (int64_t begin = 0; begin < size; begin += 2 * half) {
        float* const low = block + begin;
        float* const high = low + half;
        for (int64_t i = 0; i < half; ++i) {
          const float a = low[i];
          const float b = high[i];
          low[i] = a + b;
          high[i] = a - b;
        }
      }
    }
    for (int64_t i = 0; i < size; ++i) block[i] *= norm;
  }
}

PackedMatrix PackLowBit(Device device, const LowBitMatrix& matrix, DType dtype) {
  matrix.Check();
  switch (device) {
    case Device::kMeta:
      return PackedMatrix(nullptr, matrix.rows, matrix.cols, dtype,
                          IsIntegerProduct(matrix.type) ? PackedMatrix::Encoding::kIntegers
                                                        : PackedMatrix::Encoding::kCodes,
                          matrix.bytes());
#ifdef GESSO_HAS_CUDA
    case Device::kCuda:
      return cuda::PackLowBit(matrix, dtype);
#endif
    default:
      return cpu::PackLowBit(matrix, dtype);
  }
}

}  // namespace gesso
