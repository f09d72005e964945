#include "kernels/core/tensor.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <functional>

#include "kernels/core/float8.h"

namespace gesso {

Strides ContiguousStrides(const Shape& shape) {
  Strides strides{};
  int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[static_cast<size_t>(axis)] = step;
    step *= shape[axis];
  }
  return strides;
}

template <bool kConst>
bool BasicView<kConst>::IsContiguous() const {
  int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    if (shape[axis] != 1 && strides[static_cast<size_t>(axis)] != step) return false;
    step *= shape[axis];
  }
  return true;
}

template <bool kConst>
BasicView<kConst> BasicView<kConst>::Reshape(const Shape& to) const {
  CHECK(IsContiguous());
  Require(to.numel() == numel(), ErrorKind::kShape, "cannot see {} as {}", shape, to);
  return BasicView(data, to, dtype, device);
}

template <bool kConst>
BasicView<kConst> BasicView<kConst>::Slice(int axis, int64_t begin, int64_t end) const {
  CHECK(axis >= 0 && axis < shape.rank() && begin >= 0 && begin <= end && end <= shape[axis]);
  using Byte = Element<std::byte>;
  BasicView part = *this;
  const int64_t offset = begin * strides[static_cast<size_t>(axis)];
  part.data = static_cast<Byte*>(data) + offset * static_cast<int64_t>(SizeOf(dtype));
  part.shape.Set(axis, end - begin);
  return part;
}

template <bool kConst>
BasicView<kConst> BasicView<kConst>::Permute(std::initializer_list<int> axes) const {
  CHECK(static_cast<int>(axes.size()) == shape.rank());
  BasicView turned = *this;
  int to = 0;
  for (const int from : axes) {
    turned.shape.Set(to, shape[from]);
    turned.strides[static_cast<size_t>(to)] = strides[static_cast<size_t>(from)];
    ++to;
  }
  return turned;
}

namespace {

// Tensors from here on get pages of their own: untouched ones take no memory, and all go back to
// the system with the tensor, whatever the heap's habits.
constexpr size_t kPaged = size_t{1} << 20;

std::shared_ptr<void> Zeros(size_t bytes) {
  constexpr size_t kAlign = 64;
  const size_t padded = (bytes + kAlign - 1) / kAlign * kAlign + kAlign;
  void* memory = std::aligned_alloc(kAlign, padded);
  if (memory == nullptr) return nullptr;
  std::memset(memory, 0, padded);
  return {memory, std::free};
}

std::shared_ptr<void> ZeroPages(size_t bytes) {
  const size_t padded = bytes + 64;  // vectors read past the end
  void* memory = mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  return {memory, [padded](void* pages) { munmap(pages, padded); }};
}

std::shared_ptr<void> SharedMemory(Backend& backend, size_t bytes, FirstUse first, bool zeros) {
  constexpr size_t kBeyond = 64;  // vectors read past the end
  ObstacleWatch::Tell("memory is reserved");
  std::shared_ptr<void> memory = backend.Allocate(bytes + kBeyond, first);
  if (first == FirstUse::kHost) {
    const size_t written = zeros ? 0 : bytes;
    std::memset(static_cast<std::byte*>(memory.get()) + written, 0, bytes + kBeyond - written);
  }
  return memory;
}

}  // namespace

template struct BasicView<false>;
template struct BasicView<true>;

Tensor::Tensor(const Shape& shape, DType dtype)
    : Tensor(shape, dtype, FirstUse::kHost, Fill::kZeros) {}

Tensor Tensor::Unwritten(const Shape& shape, DType dtype, FirstUse first) {
  return {shape, dtype, first, Fill::kAny};
}

Tensor::Tensor(const Shape& shape, DType dtype, FirstUse first, Fill fill)
    : shape_(shape), dtype_(dtype), writable_(true) {
  const size_t bytes = static_cast<size_t>(shape.numel()) * SizeOf(dtype);
  if (CurrentBackend() != nullptr) {
    owner_ = SharedMemory(*CurrentBackend(), bytes, first, fill == Fill::kZeros);
    device_ = Device::kCuda;
  } else {
    owner_ = bytes < kPaged ? Zeros(bytes) : ZeroPages(bytes);
  }
  Require(owner_ != nullptr, ErrorKind::kMemory, "cannot allocate {} bytes for a {} tensor", bytes,
          shape);
  data_ = owner_.get();
}

Tensor::Tensor(std::shared_ptr<const void> owner, const void* data, const Shape& shape, DType dtype)
    : owner_(std::move(owner)), data_(data), shape_(shape), dtype_(dtype) {}

View Tensor::mutable_view() {
  CHECK(writable_);
  // NOLINTNEXTLINE: writable_ says that the memory is ours
  return View(const_cast<void*>(data_), shape_, dtype_, device_);
}

void CopyFromHost(const void* from, View to) {
  CHECK(to.IsContiguous());
  if (to.device == Device::kMeta) return;
  if (to.device == Device::kCpu) {
    std::memcpy(to.data, from, to.bytes());
    return;
  }
  ObstacleWatch::Tell("the host writes numbers");
  CurrentBackend()->Write(to.data, from, to.bytes());
}

void Upload(const Tensor& tensor) {
  const ConstView view = tensor;
  if (view.empty() || view.device != Device::kCuda) return;
  CurrentBackend()->Upload(view.data, view.bytes());
}

namespace {

double LoadFloat(const std::byte* from, DType dtype) {
  const auto read = [from]<class T>(T value) {
    std::memcpy(&value, from, sizeof(T));  // mapped files need not be aligned
    return value;
  };
  switch (dtype) {
    case DType::kF8E4M3:
      return static_cast<float>(read(E4M3{}));
    case DType::kF8E5M2:
      return static_cast<float>(read(E5M2{}));
    case DType::kF32:
      return read(float{});
    case DType::kF64:
      return read(double{});
    case DType::kF16:
      return HalfToFloat(read(uint16_t{}));
    default:
      return static_cast<float>(read(BFloat16{}));
  }
}

void StoreFloat(double value, std::byte* to, DType dtype) {
  const auto write = [to](auto v) { std::memcpy(to, &v, sizeof(v)); };
  switch (dtype) {
    case DType::kF32:
      return write(static_cast<float>(value));
    case DType::kF64:
      return write(value);
    default:
      return write(BFloat16(static_cast<float>(value)));
  }
}

int64_t LoadInt(const std::byte* from, DType dtype) {
  const auto read = [from]<class T>(T value) {
    std::memcpy(&value, from, sizeof(T));
    return static_cast<int64_t>(value);
  };
  switch (dtype) {
    case DType::kI64:
      return read(int64_t{});
    case DType::kI32:
      return read(int32_t{});
    case DType::kI16:
      return read(int16_t{});
    case DType::kI8:
      return read(int8_t{});
    default:
      return read(uint8_t{});
  }
}

void StoreInt(int64_t value, std::byte* to, DType dtype) {
  const auto write = [to](auto v) { std::memcpy(to, &v, sizeof(v)); };
  switch (dtype) {
    case DType::kI64:
      return write(value);
    case DType::kI32:
      return write(static_cast<int32_t>(value));
    default:
      return write(static_cast<uint8_t>(value));
  }
}

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kF16 ||
         dtype == DType::kBF16 || dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
}

bool CanStore(DType dtype) {
  return dtype != DType::kF8E4M3 && dtype != DType::kF8E5M2 && dtype != DType::kF16 &&
         dtype != DType::kI16 && dtype != DType::kI8;
}

// Converts `count` elements, `stride` apart, of a row.
using ConvertRow = void (*)(DType source, const std::byte* from, int64_t stride, int64_t count,
                            DType dtype, std::byte* to);

void ConvertAny(DType source, const std::byte* from, int64_t stride, int64_t count, DType dtype,
                std::byte* to) {
  const auto step = stride * static_cast<int64_t>(SizeOf(source));
  const bool is_float = IsFloat(dtype);
  for (int64_t i = 0; i < count; ++i, from += step, to += SizeOf(dtype)) {
    is_float ? StoreFloat(LoadFloat(from, source), to, dtype)
             : StoreInt(LoadInt(from, source), to, dtype);
  }
}

// What nearly all weights are, in loops that compilers make vectors of.
template <class From, class To>
void ConvertFloats(DType, const std::byte* from, int64_t stride, int64_t count, DType,
                   std::byte* to) {
  auto* results = reinterpret_cast<To*>(to);
  const auto convert = [&](int64_t at) {
    From value;  // files need not keep it at a multiple of its size
    std::memcpy(&value, from + at * static_cast<int64_t>(sizeof(From)), sizeof(From));
    return To(static_cast<float>(value));
  };
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) results[i] = convert(i);
  } else {
    for (int64_t i = 0; i < count; ++i) results[i] = convert(i * stride);
  }
}

ConvertRow ConverterOf(DType from, DType to) {
  if (from == DType::kBF16 && to == DType::kF32) return ConvertFloats<BFloat16, float>;
  if (from == DType::kF32 && to == DType::kF32) return ConvertFloats<float, float>;
  if (from == DType::kF32 && to == DType::kBF16) return ConvertFloats<float, BFloat16>;
  return ConvertAny;
}

}  // namespace

Tensor Cast(ConstView source, DType dtype) {
  Require(IsFloat(source.dtype) == IsFloat(dtype) && CanStore(dtype), ErrorKind::kUnsupported,
          "cannot convert {} to {}", NameOf(source.dtype), NameOf(dtype));
  Tensor result = Tensor::Unwritten(source.shape, dtype, FirstUse::kHost);
  const ConvertRow convert = ConverterOf(source.dtype, dtype);
  const auto source_size = static_cast<int64_t>(SizeOf(source.dtype));
  const int last = source.shape.rank() - 1;
  const int64_t columns = last < 0 ? 1 : source.shape[last];
  const int64_t stride = last < 0 ? 1 : source.strides[static_cast<size_t>(last)];
  const int64_t row_bytes = columns * static_cast<int64_t>(SizeOf(dtype));
  auto* to = result.mutable_view().Bytes();
  // Row by row; `axis` walks the outer dimensions.
  const std::function<void(int, const std::byte*)> copy = [&](int axis, const std::byte* from) {
    if (axis >= last) {
      convert(source.dtype, from, stride, columns, dtype, to);
      to += row_bytes;
      return;
    }
    const int64_t step = source.strides[static_cast<size_t>(axis)] * source_size;
    for (int64_t i = 0; i < source.shape[axis]; ++i) copy(axis + 1, from + i * step);
  };
  copy(0, source.Bytes());
  return result;
}

}  // namespace gesso
