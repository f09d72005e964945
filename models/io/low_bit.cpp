#include "models/io/low_bit.h"

#include "models/io/printable.h"

namespace gesso {

namespace {

const std::string kScale = ".scale";
const std::string kGroupScale = ".group_scale";
const std::string kInputScale = ".input_scale";
const std::string kHadamard = ".hadamard";

const Tensor* Find(const Weights& weights, const std::string& name) {
  const auto found = weights.tensors.find(name);
  return found == weights.tensors.end() ? nullptr : &found->second;
}

Tensor Number(float value) {
  Tensor tensor({1}, DType::kF32);
  tensor.MutableData<float>()[0] = value;
  return tensor;
}

}  // namespace

bool IsLowBit(const Weights& weights, const std::string& name) {
  const Tensor* const codes = Find(weights, name);
  return codes != nullptr && codes->shape().rank() == 2 &&
         (codes->dtype() == DType::kI8 || codes->dtype() == DType::kU8) &&
         weights.tensors.contains(name + kScale);
}

bool BelongsToLowBit(const Weights& weights, const std::string& name) {
  for (const std::string& suffix : {kScale, kGroupScale, kInputScale, kHadamard}) {
    if (name.ends_with(suffix) && IsLowBit(weights, name.substr(0, name.size() - suffix.size()))) {
      return true;
    }
  }
  return false;
}

Shape CodesShape(const Weights& weights, const std::string& name, const Shape& matrix) {
  if (matrix.rank() != 2 || weights.At(name).dtype() != DType::kU8) return matrix;
  return {matrix[0], (matrix[1] + 1) / 2};
}

LowBitMatrix LowBitAt(const Weights& weights, const std::string& name, int64_t cols) {
  const std::string where = fmt::format("{}: tensor {}", weights.path.string(), Printable(name));
  return WithContext(where, [&] {
    LowBitMatrix matrix;
    matrix.codes = weights.At(name);
    matrix.scale = weights.At(name + kScale);
    matrix.rows = matrix.codes.shape()[0];
    matrix.cols = cols;
    const bool four = matrix.codes.dtype() == DType::kU8;
    if (matrix.scale.shape().rank() == 1) {
      matrix.type = four ? LowBit::kW4A8 : LowBit::kW8A8;
    } else {
      matrix.type = four ? LowBit::kQ4 : LowBit::kQ8;
    }
    if (const Tensor* factors = Find(weights, name + kGroupScale)) matrix.group_scale = *factors;
    const auto number = [&](const std::string& suffix, DType dtype) -> const Tensor* {
      const Tensor* const tensor = Find(weights, name + suffix);
      Require(tensor == nullptr || (tensor->shape() == Shape{1} && tensor->dtype() == dtype),
              ErrorKind::kFormat, "{}: expected one number of {}", suffix.substr(1), NameOf(dtype));
      return tensor;
    };
    if (const Tensor* scale = number(kInputScale, DType::kF32)) {
      matrix.input_scale = scale->Data<float>()[0];
      Require(matrix.input_scale > 0, ErrorKind::kFormat, "input_scale: {} is not above 0",
              matrix.input_scale);
    }
    if (const Tensor* size = number(kHadamard, DType::kI32)) {
      matrix.hadamard = size->Data<int32_t>()[0];
    }
    matrix.Check();
    return matrix;
  });
}

void PutLowBit(std::map<std::string, Tensor>& tensors, const std::string& name,
               const LowBitMatrix& matrix) {
  tensors[name] = matrix.codes;
  tensors[name + kScale] = matrix.scale;
  if (!matrix.group_scale.empty()) tensors[name + kGroupScale] = matrix.group_scale;
  if (matrix.input_scale > 0) tensors[name + kInputScale] = Number(matrix.input_scale);
  if (matrix.hadamard > 1) {
    Tensor size({1}, DType::kI32);
    size.MutableData<int32_t>()[0] = static_cast<int32_t>(matrix.hadamard);
    tensors[name + kHadamard] = size;
  }
}

}  // namespace gesso
