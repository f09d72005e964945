#include "kernels/cuda/low_bit.h"

#include <cstring>

#include "kernels/core/float8.h"
#include "kernels/cuda/code_layout.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/quad_launch.cuh"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

namespace {

// Up to so many rows it is reading the weights that takes the time.
constexpr int64_t kFewRows = 16;
// Of weights that are written out at a time: what the caches of large GPUs hold.
constexpr int64_t kTileBytes = int64_t{16} << 20;
constexpr int64_t kOutputsATile = 64;  // a multiple, so that every part is as well aligned

struct Codes : PackedMatrix::Storage {
  LowBitMatrix matrix;  // [N, K filled up], in memory of the device
  CodeRows rows;        // the same

  void Unpack(float* weight) const override {
    const Tensor floats = matrix.Dequantize();
    for (int64_t n = 0; n < rows.rows; ++n) {
      std::copy_n(floats.Data<float>() + n * rows.padded, rows.inputs, weight + n * rows.inputs);
    }
  }
};

const Codes& CodesOf(const PackedMatrix& weight) {
  return static_cast<const Codes&>(weight.storage());
}

// How many outputs' weights of `bytes` each are written out at a time.
int64_t OutputsAtATime(int64_t bytes) {
  return std::max(kTileBytes / bytes / kOutputsATile, int64_t{1}) * kOutputsATile;
}

// The inputs of a product, as rows.
struct Rows {
  Numbers numbers;
  int64_t count, stride;

  Rows(ConstView x, int64_t width)
      : numbers(x), count(x.numel() / width), stride(x.shape.rank() == 2 ? x.strides[0] : width) {}

  // Whether four inputs that follow one another can be read at once.
  bool AreWhole() const {
    const uintptr_t bytes = numbers.bf16 ? 8 : 16;
    return reinterpret_cast<uintptr_t>(numbers.data) % bytes == 0 && stride % 4 == 0;
  }
};

template <int kRows, class Code>
void MultiplyFew(const CodeRows& weight, const Rows& x, int64_t first, int64_t count,
                 const EpilogueElement& epilogue) {
  CodeDotRow<kRows, Code> body;
  body.weight = weight;
  body.x = x.numbers.From(first * x.stride);
  body.x_stride = x.stride;
  body.whole = x.AreWhole();
  body.count = static_cast<int>(count);
  body.epilogue = epilogue;
  body.first = first * weight.rows;
  ForEachRow<WarpLanes>(weight.rows, body);
}

template <class Code>
void MultiplyFewRows(const CodeRows& weight, const Rows& x, const EpilogueElement& epilogue) {
  for (int64_t first = 0; first < x.count; first += 8) {
    const int64_t count = std::min<int64_t>(8, x.count - first);
    const auto multiply = count == 1   ? MultiplyFew<1, Code>
                          : count == 2 ? MultiplyFew<2, Code>
                          : count <= 4 ? MultiplyFew<4, Code>
                                       : MultiplyFew<8, Code>;
    multiply(weight, x, first, count, epilogue);
  }
}

void MultiplyFewRows(const CodeRows& weight, const Rows& x, const EpilogueElement& epilogue) {
  const auto multiply = weight.four     ? MultiplyFewRows<Int4Codes>
                        : weight.float8 ? MultiplyFewRows<Float8Codes>
                                        : MultiplyFewRows<Int8Codes>;
  multiply(weight, x, epilogue);
}

// Products in floating point with many rows.
void MultiplyMany(const PackedMatrix& weight, ConstView x, const Epilogue& epilogue) {
  const Inputs in = ConvertedInputs(x, weight);
  const CodeRows& rows = CodesOf(weight).rows;
  DequantizeElement body;
  body.weight = rows;
  body.out.bf16 = weight.dtype() == DType::kBF16;
  const int64_t bytes = rows.inputs * static_cast<int64_t>(SizeOf(weight.dtype()));
  const auto weights = [&](int64_t first, int64_t count) -> const void* {
    body.first = first;
    body.out.data = Scratch(kWeights, static_cast<size_t>(count * bytes));
    ForEach(count * rows.Words(), body);
    return body.out.data;
  };
  MultiplyAndFinish({in.rows, weight.rows(), weight.cols(), in.stride, weight.dtype()},
                    OutputsAtATime(bytes), weights, in.data, epilogue);
}

void MultiplyFloats(const PackedMatrix& weight, ConstView x, const Epilogue& epilogue) {
  const Rows rows(x, weight.cols());
  if (rows.count > kFewRows) return MultiplyMany(weight, x, epilogue);
  MultiplyFewRows(CodesOf(weight).rows, rows, ElementOf(epilogue, weight.rows()));
}

// That of codes with `count` rows of rounded inputs.
Product ProductOf(const CodeRows& weight, int64_t count) {
  return {UpTo(count, kIntegerRows), UpTo(weight.rows, CodeRows::kOutputsMultiple), weight.padded,
          weight.padded, weight.float8 ? DType::kF8E4M3 : DType::kI8};
}

// Whether codes of weights and inputs are multiplied as they are.
bool MultipliesCodes(const CodeRows& weight, int64_t count) {
  return weight.rounds && (!weight.float8 || HasFloat8(ProductOf(weight, count)));
}

// The inputs of a product in floating point: x or, where the weights ask for it, x rounded to e4m3
// [M, K] in the type of the weights, which holds it exactly; in the scratch kInputs.
ConstView InputsOfFloats(const PackedMatrix& weight, ConstView inputs) {
  const CodeRows& rows = CodesOf(weight).rows;
  if (!rows.rounds) return inputs;
  const Rows x(inputs, rows.inputs);
  const size_t bytes = static_cast<size_t>(x.count * rows.inputs) * SizeOf(weight.dtype());
  const View out(Scratch(kInputs, bytes), {x.count, rows.inputs}, weight.dtype(), Device::kCuda);
  RoundToFloat8Row body;
  body.x = x.numbers;
  body.x_stride = x.stride;
  body.width = rows.inputs;
  body.out = Numbers(out);
  ForEachRow<BlockLanes>(x.count, body);
  return out;
}

// As products with `weight` round their inputs, without memory for them.
RoundedRows RoundingOf(const Codes& weight) {
  RoundedRows to;
  to.width = weight.rows.inputs;
  to.padded = weight.rows.padded;
  to.float8 = weight.rows.float8;
  to.input_scale = weight.matrix.input_scale;
  to.hadamard = weight.matrix.hadamard;
  return to;
}

// With memory for `count` rows in the scratch kInputs, as RoundedLayout says.
RoundedRows RoundedInputs(const Codes& weight, int64_t count) {
  RoundedRows to = RoundingOf(weight);
  const bool turns = to.hadamard > 1;
  const RoundedLayout layout(count, to.width, to.padded, turns);
  auto* const memory = static_cast<uint8_t*>(Scratch(kInputs, static_cast<size_t>(layout.bytes)));
  to.scales = reinterpret_cast<float*>(memory);
  to.rotated = turns ? reinterpret_cast<float*>(memory + layout.rotated) : nullptr;
  to.codes = memory + layout.codes;
  return to;
}

void RoundRows(const Rows& x, const RoundedRows& to) {
  if (to.hadamard > 1 || to.width % kQuad != 0 || to.width > kMostInQuads ||
      !HasQuads(x.numbers, x.stride)) {
    RoundInputsRow body;
    body.x = x.numbers;
    body.x_stride = x.stride;
    body.to = to;
    return ForEachRow<BlockLanes>(x.count, body);
  }
  ShareOutRows(x.count, to.width, [&]<class Lanes, int kQuads>() {
    ForEachRow<Lanes>(x.count,
                      RoundQuads<InputQuads<kQuads>>{.source = {x.numbers, x.stride}, .to = to});
  });
}

// Rounds the `count` rows of inputs and multiplies codes; the sums lie in the scratch kProduct.
CodeSums MultiplyRounded(const Codes& weight, int64_t count, const RoundInputs& round) {
  const CodeRows& rows = weight.rows;
  const RoundedRows in = RoundedInputs(weight, count);
  round(in);
  const Product product = ProductOf(rows, count);
  const int64_t outputs = product.outputs;
  void* const memory = Scratch(kProduct, static_cast<size_t>(product.rows * outputs) * 4);
  if (rows.float8) {
    auto* const float_sums = static_cast<float*>(memory);
    MultiplyFloat8(product, rows.codes, in.codes, float_sums);
    return {
        .float_sums = float_sums, .row_scales = in.scales, .scale = rows.scale, .stride = outputs};
  }
  auto* const sums = static_cast<int32_t*>(memory);
  if (!rows.four) {
    MultiplyIntegers(product, rows.codes, in.codes, sums);
  } else {
    ForEachTile(product, OutputsAtATime(rows.padded), [&](const Product& part, int64_t first) {
      WidenCodesElement body;
      body.weight = rows;
      body.first = first;
      body.out = static_cast<uint32_t*>(
          Scratch(kWeights, static_cast<size_t>(part.outputs * rows.padded)));
      ForEach(part.outputs * rows.Words(), body);
      MultiplyIntegers(part, body.out, in.codes, sums + first);
    });
  }
  return {.sums = sums, .row_scales = in.scales, .scale = rows.scale, .stride = outputs};
}

// A copy in memory of the device: what a file holds is mapped.
Tensor Copied(const Tensor& tensor) {
  if (tensor.empty()) return {};
  Tensor copy(tensor.shape(), tensor.dtype());
  std::memcpy(copy.mutable_view().Bytes(), tensor.view().Bytes(), tensor.view().bytes());
  Upload(copy);
  return copy;
}

}  // namespace

PackedMatrix PackLowBit(const LowBitMatrix& matrix, DType dtype) {
  auto storage = std::make_shared<Codes>();
  LowBitMatrix& own = storage->matrix = matrix;
  own.codes = FilledUp(matrix);
  Upload(own.codes);
  own.scale = Copied(matrix.scale);
  own.group_scale = Copied(matrix.group_scale);
  storage->rows = RowsOf(matrix, own.codes, own.scale, own.group_scale);
  own.cols = storage->rows.padded;  // no more groups, and whole blocks of a rotation
  return PackedMatrix(storage, matrix.rows, matrix.cols, dtype, PackedMatrix::Encoding::kDevice,
                      own.bytes());
}

void LinearLowBit(const LinearArgs& args) {
  const Codes& weight = CodesOf(*args.weight);
  const Rows x(args.x, weight.rows.inputs);
  if (MultipliesCodes(weight.rows, x.count)) {
    return MultiplyCodes(args, [&](const RoundedRows& to) { RoundRows(x, to); });
  }
  MultiplyFloats(*args.weight, InputsOfFloats(*args.weight, args.x), EpilogueOf(args));
}

void LinearGluLowBit(const LinearGluArgs& args) {
  const PackedMatrix& weight = *args.weight;
  const Rows x(args.x, weight.cols());
  if (MultipliesCodes(CodesOf(weight).rows, x.count)) {
    return MultiplyCodes(args, [&](const RoundedRows& to) { RoundRows(x, to); });
  }
  ActivateHalves(args, [&](View product) {
    MultiplyFloats(weight, InputsOfFloats(weight, args.x),
                   {.bias = {}, .residual = {}, .out = Numbers(product)});
  });
}

std::optional<RoundedRows> RoundingOf(const PackedMatrix& weight, int64_t rows) {
  const auto* const codes = dynamic_cast<const Codes*>(&weight.storage());
  if (codes == nullptr || !MultipliesCodes(codes->rows, rows)) return std::nullopt;
  return RoundingOf(*codes);
}

void MultiplyCodes(const LinearArgs& args, const RoundInputs& round) {
  const Codes& weight = CodesOf(*args.weight);
  CodeEpilogueElement body;
  body.product = MultiplyRounded(weight, args.out.numel() / weight.rows.rows, round);
  body.epilogue = ElementOf(EpilogueOf(args), weight.rows.rows);
  ForEachVector(args.out.numel(), body);
}

void MultiplyCodes(const LinearGluArgs& args, const RoundInputs& round) {
  CodeGluElement body;
  body.features = args.weight->rows() / 2;
  body.product = MultiplyRounded(CodesOf(*args.weight), args.out.numel() / body.features, round);
  body.out = Numbers(args.out);
  body.activation = args.activation;
  ForEachVector(args.out.numel(), body);
}

}  // namespace gesso::cuda
