#include "models/nn/load.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/core/float8.h"
#include "models/io/low_bit.h"

namespace gesso::nn {

namespace {

// Whether an element has all exponent bits set: infinity or NaN, in any IEEE layout.
template <class Bits>
bool AnyNonFinite(const void* data, int64_t count, Bits exponent) {
  const auto* bytes = static_cast<const std::byte*>(data);
  bool found = false;
  for (int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, bytes + i * static_cast<int64_t>(sizeof(Bits)), sizeof(Bits));
    found |= (bits & exponent) == exponent;
  }
  return found;
}

bool IsFinite(ConstView view) {
  switch (view.dtype) {
    case DType::kF8E4M3: {
      const std::span<const E4M3> numbers(view.Data<E4M3>(), static_cast<size_t>(view.numel()));
      return std::ranges::none_of(numbers, &E4M3::IsNaN);
    }
    case DType::kF8E5M2:
      return !AnyNonFinite<uint8_t>(view.data, view.numel(), 0x7cu);
    case DType::kF64:
      return !AnyNonFinite<uint64_t>(view.data, view.numel(), 0x7ff0'0000'0000'0000u);
    case DType::kF32:
      return !AnyNonFinite<uint32_t>(view.data, view.numel(), 0x7f80'0000u);
    case DType::kF16:
      return !AnyNonFinite<uint16_t>(view.data, view.numel(), 0x7c00u);
    default:
      return !AnyNonFinite<uint16_t>(view.data, view.numel(), 0x7f80u);
  }
}

// Adds a line with at most eight names, so that a wrong file does not print hundreds.
void List(std::string& message, const std::string& title, const std::vector<std::string>& names) {
  constexpr size_t kMost = 8;
  if (names.empty()) return;
  message += "\n  " + title + ": ";
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) {
    message += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMost) message += fmt::format(" and {} more", names.size() - kMost);
}

// What PackMatrix reads: elements at addresses fit for their type, one of its types.
bool CanPackInPlace(const Tensor& tensor) {
  const auto address = reinterpret_cast<uintptr_t>(tensor.view().data);  // NOLINT: only looked at
  const size_t size = SizeOf(tensor.dtype());
  return (size == 2 || size == 4) && address % size == 0;
}

// Whether matrices in few bits can be one.
bool AreAlike(std::span<const LowBitMatrix> parts) {
  const LowBitMatrix& first = parts.front();
  return std::ranges::all_of(parts, [&](const LowBitMatrix& part) {
    return part.type == first.type && part.hadamard == first.hadamard &&
           part.scale.dtype() == first.scale.dtype();
  });
}

}  // namespace

void ShapeCollector::Matrix(std::span<const MatrixPart> parts, int64_t cols, Precision,
                            PackedMatrix&) {
  for (const MatrixPart& part : parts) Add(part.name, {part.rows, cols}, Role::kParameter);
}

void ShapeCollector::Kernel(const std::string& name, const Shape& shape, Conv2dShape, Precision,
                            PackedKernel&) {
  Add(name, shape, Role::kParameter);
}

void ShapeCollector::Plain(const std::string& name, const Shape& shape, Role role, Tensor&) {
  Add(name, shape, role);
}

void ShapeCollector::Add(const std::string& name, const Shape& shape, Role role) {
  CHECK(shapes_.emplace(name, shape).second);
  if (role == Role::kParameter) parameters_ += shape.numel();
}

void ShapeCollector::Check(const Weights& weights) const {
  std::vector<std::string> missing;
  std::vector<std::string> unexpected;
  std::vector<std::string> misshapen;
  for (const auto& [name, shape] : shapes_) {
    const auto found = weights.tensors.find(name);
    if (found == weights.tensors.end()) {
      missing.push_back(name);
      continue;
    }
    const Shape expected = IsLowBit(weights, name) ? CodesShape(weights, name, shape) : shape;
    if (!(found->second.shape() == expected)) {
      misshapen.push_back(fmt::format("{}: expected {}, got {}", name, expected.ToString(),
                                      found->second.shape().ToString()));
    }
  }
  for (const auto& [name, tensor] : weights.tensors) {
    if (!shapes_.contains(name) && !BelongsToLowBit(weights, name)) unexpected.push_back(name);
  }
  if (missing.empty() && unexpected.empty() && misshapen.empty()) return;
  std::string message = weights.path.string() + ": weights do not fit the model's configuration";
  List(message, "missing", missing);
  List(message, "unexpected", unexpected);
  List(message, "wrong shape", misshapen);
  throw Error(ErrorKind::kFormat, message);
}

const Tensor& Loader::Checked(const std::string& name) const {
  const Tensor& tensor = weights_.At(name);
  Require(IsFloating(tensor.dtype()), ErrorKind::kFormat,
          "{}: tensor {}: expected floating-point weights, or codes with a {}.scale, got {}",
          weights_.path.string(), name, name, NameOf(tensor.dtype()));
  Require(IsFinite(tensor), ErrorKind::kFormat, "{}: tensor {}: holds NaN or infinite values",
          weights_.path.string(), name);
  return tensor;
}

Tensor Loader::Floats(const std::string& name, int64_t cols) const {
  if (IsLowBit(weights_, name)) return LowBitAt(weights_, name, cols).Dequantize();
  return Cast(Checked(name), DType::kF32);
}

PackedMatrix Loader::Packed(std::span<const MatrixPart> parts, int64_t cols,
                            Precision precision) const {
  std::vector<LowBitMatrix> low_bit;
  int64_t rows = 0;
  for (const MatrixPart& part : parts) {
    rows += part.rows;
    if (precision == Precision::kModel && IsLowBit(weights_, part.name)) {
      low_bit.push_back(LowBitAt(weights_, part.name, cols));
    }
  }
  if (low_bit.size() == parts.size() && AreAlike(low_bit)) {
    return PackLowBit(device_, low_bit.size() == 1 ? low_bit.front() : Stack(low_bit), dtype_);
  }
  const DType dtype = TypeFor(precision);
  const Factors factors = FactorsFor(precision);
  if (parts.size() == 1 && !IsLowBit(weights_, parts.front().name)) {
    const Tensor& weight = Checked(parts.front().name);
    if (CanPackInPlace(weight)) return PackMatrix(device_, weight, dtype, factors);
  }
  Tensor stacked({rows, cols}, DType::kF32);
  float* to = stacked.MutableData<float>();
  for (const MatrixPart& part : parts) {
    const Tensor values = Floats(part.name, cols);
    to = std::copy_n(values.Data<float>(), values.view().numel(), to);
  }
  return PackMatrix(device_, stacked, dtype, factors);
}

void Loader::Matrix(std::span<const MatrixPart> parts, int64_t cols, Precision precision,
                    PackedMatrix& matrix) {
  matrix = Packed(parts, cols, precision);
  matrix.set_name(parts.front().name);
  for (const MatrixPart& part : parts) weights_.Release(weights_.At(part.name));
}

void Loader::Kernel(const std::string& name, const Shape&, Conv2dShape conv, Precision precision,
                    PackedKernel& kernel) {
  const Tensor& weight = Checked(name);
  const Tensor values = CanPackInPlace(weight) ? weight : Cast(weight, DType::kF32);
  kernel = PackKernel(device_, values, TypeFor(precision), conv, FactorsFor(precision));
  weights_.Release(weight);
}

void Loader::Plain(const std::string& name, const Shape& shape, Role, Tensor& tensor) {
  tensor = Floats(name, shape.rank() == 0 ? 1 : shape[-1]);
  Upload(tensor);
  weights_.Release(weights_.At(name));
}

}  // namespace gesso::nn
