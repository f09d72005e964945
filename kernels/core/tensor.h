// Tensors: View and ConstView point at elements that something else owns; Tensor owns (or shares
// a file mapping). Strides count elements. Views are cheap to copy and are passed by value.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>

#include "kernels/core/backend.h"
#include "kernels/core/device.h"
#include "kernels/core/dtype.h"
#include "kernels/core/error.h"
#include "kernels/core/shape.h"

namespace gesso {

using Strides = std::array<int64_t, Shape::kMaxRank>;

Strides ContiguousStrides(const Shape& shape);

template <bool kConst>
struct BasicView {
  using Pointer = std::conditional_t<kConst, const void*, void*>;
  template <class T>
  using Element = std::conditional_t<kConst, const T, T>;

  Pointer data = nullptr;
  Shape shape;
  Strides strides{};
  DType dtype = DType::kF32;
  Device device = Device::kCpu;

  BasicView() = default;
  BasicView(Pointer pointer, const Shape& s, DType type, Device where = Device::kCpu)
      : data(pointer), shape(s), strides(ContiguousStrides(s)), dtype(type), device(where) {}
  template <bool kOther>
  // A mutable view serves wherever a const one is asked for.
  // NOLINTNEXTLINE(google-explicit-constructor): as int* turns into const int*
  requires(kConst && !kOther) BasicView(const BasicView<kOther>& other)
      : data(other.data),
        shape(other.shape),
        strides(other.strides),
        dtype(other.dtype),
        device(other.device) {}

  bool empty() const { return data == nullptr; }  // an absent optional argument
  int64_t numel() const { return shape.numel(); }
  size_t bytes() const { return static_cast<size_t>(numel()) * SizeOf(dtype); }
  bool IsContiguous() const;

  // The elements as T, for the host: what the device still does to them is waited for. The dtype
  // must match.
  template <class T>
  Element<T>* Data() const {
    CHECK(dtype == DTypeOf<T>::value);
    if (device == Device::kCuda) WaitForDevice();
    return static_cast<Element<T>*>(data);
  }
  // The same without their type.
  Element<std::byte>* Bytes() const {
    if (device == Device::kCuda) WaitForDevice();
    return static_cast<Element<std::byte>*>(data);
  }

  // Same elements under another shape of equal size; the view must be contiguous.
  BasicView Reshape(const Shape& to) const;
  // Elements begin..end-1 of dimension `axis`.
  BasicView Slice(int axis, int64_t begin, int64_t end) const;
  // Dimensions in the order `axes`, e.g. {0, 2, 3, 1} sees NCHW memory as NHWC.
  BasicView Permute(std::initializer_list<int> axes) const;
};

using View = BasicView<false>;
using ConstView = BasicView<true>;

// Owns its elements (64-byte aligned; in the backend's memory where one is in use) or shares
// ownership of the memory they lie in.
class Tensor {
 public:
  Tensor() = default;
  // Zeros.
  Tensor(const Shape& shape, DType dtype);
  // Elements that somebody, `first`, writes before anybody reads them.
  static Tensor Unwritten(const Shape& shape, DType dtype, FirstUse first = FirstUse::kDevice);
  // Elements that lie inside memory which `owner` keeps alive (a file mapping).
  Tensor(std::shared_ptr<const void> owner, const void* data, const Shape& shape, DType dtype);

  bool empty() const { return data_ == nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  ConstView view() const { return ConstView(data_, shape_, dtype_, device_); }
  // Only for tensors that own their memory.
  View mutable_view();
  // NOLINTNEXTLINE(google-explicit-constructor): a tensor reads as a view
  operator ConstView() const { return view(); }

  template <class T>
  const T* Data() const {
    return view().Data<T>();
  }
  template <class T>
  T* MutableData() {
    return mutable_view().Data<T>();
  }

 private:
  enum class Fill { kZeros, kAny };
  Tensor(const Shape& shape, DType dtype, FirstUse first, Fill fill);

  std::shared_ptr<const void> owner_;
  const void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::kF32;
  Device device_ = Device::kCpu;
  bool writable_ = false;
};

// Copies numbers of the host to `to`, contiguous: in the order of the device's work and without
// waiting for it; at once on a CPU. Nothing happens on the meta device.
void CopyFromHost(const void* from, View to);

// Says that the elements of `tensor` will only be read from now on: weights, which go to the device
// in use, if there is one, before they are needed.
void Upload(const Tensor& tensor);

// A contiguous copy of `source` in another element type. Floating types convert to each other
// (round to nearest even), integer types to each other; anything else is kUnsupported.
Tensor Cast(ConstView source, DType dtype);

}  // namespace gesso
