#include "models/io/low_bit.h"

#include <algorithm>
#include <array>

#include "kernels/core/float8.h"
#include "models/io/printable.h"

namespace gesso {

namespace {

const std::string kScale = ".scale";
const std::string kGroupScale = ".group_scale";
const std::string kInputScale = ".input_scale";
const std::string kHadamard = ".hadamard";

// What others write beside a layer's e4m3 weight "LAYER.weight": the scale of the weight, by the
// two names in use; one for rounding inputs, which stay as they are here; the format.
constexpr std::array<std::string_view, 2> kLayerScales = {"scale_weight", "weight_scale"};
constexpr std::array<std::string_view, 3> kLayerNotes = {"scale_input", "input_scale",
                                                         "comfy_quant"};
constexpr std::string_view kWeight = "weight";
constexpr std::string_view kMark = "scaled_fp8";  // of a whole file

const Tensor* Find(const Weights& weights, const std::string& name) {
  const auto found = weights.tensors.find(name);
  return found == weights.tensors.end() ? nullptr : &found->second;
}

Tensor Number(float value) {
  Tensor tensor({1}, DType::kF32);
  tensor.MutableData<float>()[0] = value;
  return tensor;
}

bool IsFloat8Matrix(const Tensor* tensor) {
  return tensor != nullptr && tensor->shape().rank() == 2 && tensor->dtype() == DType::kF8E4M3;
}

// The name of what belongs to the weight `name` of a layer.
std::string OfLayer(const std::string& name, std::string_view part) {
  return name.substr(0, name.size() - kWeight.size()) + std::string(part);
}

// The scale of the weight `name`, as gesso or as others write it, or null. Throws kFormat where
// there are several.
const Tensor* ScaleOf(const Weights& weights, const std::string& name) {
  std::vector<std::string> places = {name + kScale};
  if (name.ends_with(kWeight)) {
    for (const std::string_view part : kLayerScales) places.push_back(OfLayer(name, part));
  }
  std::string of;
  for (const std::string& place : places) {
    if (!weights.tensors.contains(place)) continue;
    Require(of.empty(), ErrorKind::kFormat, "has two scales, {} and {}", Printable(of),
            Printable(place));
    of = place;
  }
  return of.empty() ? nullptr : Find(weights, of);
}

// Whether `name` is beside an e4m3 weight of a layer.
bool BelongsToLayer(const Weights& weights, const std::string& name) {
  const auto belongs = [&](std::string_view part) {
    if (!name.ends_with(part)) return false;
    const std::string weight = name.substr(0, name.size() - part.size()) + std::string(kWeight);
    return IsFloat8Matrix(Find(weights, weight));
  };
  return std::ranges::any_of(kLayerScales, belongs) || std::ranges::any_of(kLayerNotes, belongs);
}

// The scales [N, groups] of a matrix that has one number for all, one an output, or none.
Tensor ScalesOfGroups(const Tensor* given, int64_t rows, int64_t groups) {
  Tensor scales({rows, groups}, DType::kF32);
  Tensor own({1}, DType::kF32);
  own.MutableData<float>()[0] = 1;
  if (given != nullptr) {
    const int64_t count = given->shape().numel();
    Require(count == 1 || count == rows, ErrorKind::kFormat,
            "scale of the weight: expected one number or {}, got {}", rows, given->shape());
    Require(given->dtype() == DType::kF32 || given->dtype() == DType::kF16 ||
                given->dtype() == DType::kBF16,
            ErrorKind::kFormat, "scale of the weight: expected floating-point numbers, got {}",
            NameOf(given->dtype()));
    own = Cast(*given, DType::kF32);
  }
  const int64_t step = own.shape().numel() == 1 ? 0 : 1;
  for (int64_t row = 0; row < rows; ++row) {
    std::fill_n(scales.MutableData<float>() + row * groups, groups, own.Data<float>()[row * step]);
  }
  return scales;
}

LowBit TypeOf(const Tensor& codes, const Tensor& scale) {
  const bool by_output = scale.shape().rank() == 1;
  if (codes.dtype() == DType::kF8E4M3) return by_output ? LowBit::kF8A8 : LowBit::kF8;
  if (codes.dtype() == DType::kU8) return by_output ? LowBit::kW4A8 : LowBit::kQ4;
  return by_output ? LowBit::kW8A8 : LowBit::kQ8;
}

}  // namespace

bool IsLowBit(const Weights& weights, const std::string& name) {
  const Tensor* const codes = Find(weights, name);
  if (IsFloat8Matrix(codes)) return true;
  return codes != nullptr && codes->shape().rank() == 2 &&
         (codes->dtype() == DType::kI8 || codes->dtype() == DType::kU8) &&
         weights.tensors.contains(name + kScale);
}

bool BelongsToLowBit(const Weights& weights, const std::string& name) {
  const Tensor* const mark = name == kMark ? Find(weights, name) : nullptr;
  if (mark != nullptr && mark->dtype() == DType::kF8E4M3) return true;
  if (BelongsToLayer(weights, name)) return true;
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
    matrix.rows = matrix.codes.shape()[0];
    matrix.cols = cols;
    const Tensor* const scale = ScaleOf(weights, name);
    matrix.scale = scale != nullptr && weights.tensors.contains(name + kScale)
                       ? *scale
                       : ScalesOfGroups(scale, matrix.rows, LowBitGroups(cols));
    matrix.type = TypeOf(matrix.codes, matrix.scale);
    if (const Tensor* factors = Find(weights, name + kGroupScale)) matrix.group_scale = *factors;
    const auto number = [&](const std::string& suffix, DType dtype) -> const Tensor* {
      const Tensor* const tensor = Find(weights, name + suffix);
      Require(tensor == nullptr || (tensor->shape() == Shape{1} && tensor->dtype() == dtype),
              ErrorKind::kFormat, "{}: expected one number of {}", suffix.substr(1), NameOf(dtype));
      return tensor;
    };
    if (const Tensor* input = number(kInputScale, DType::kF32)) {
      matrix.input_scale = input->Data<float>()[0];
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
