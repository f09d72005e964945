// Tensors' conversions between element types.
#include "kernels/core/tensor.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/core/host_copy.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

template <class T>
std::vector<T> Values(const Tensor& tensor) {
  const auto* data = tensor.view().Data<T>();
  return {data, data + tensor.view().numel()};
}

// 0, 1, 2, ... as a view on `storage`, which lies `shift` bytes beyond a multiple of its size.
template <class T>
ConstView Counting(std::vector<std::byte>& storage, const Shape& shape, size_t shift) {
  storage.resize(static_cast<size_t>(shape.numel()) * sizeof(T) + shift);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const T value(static_cast<float>(i));
    std::memcpy(storage.data() + shift + static_cast<size_t>(i) * sizeof(T), &value, sizeof(T));
  }
  return {storage.data() + shift, shape, DTypeOf<T>::value, Device::kCpu};
}

TEST(Cast, ConvertsEveryElementInItsOrder) {
  std::vector<float> rising(60);
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<float>(i);
  std::vector<std::byte> storage;
  for (const size_t shift : {size_t{0}, size_t{1}}) {  // files need not align what they hold
    const auto whole = [&]<class T>(T) {
      return Cast(Counting<T>(storage, {3, 4, 5}, shift), DType::kF32);
    };
    EXPECT_THAT(Values<float>(whole(BFloat16())), ElementsAreArray(rising));
    EXPECT_THAT(Values<float>(whole(float{})), ElementsAreArray(rising));
    EXPECT_THAT(Values<float>(whole(double{})), ElementsAreArray(rising));
    const ConstView turned = Counting<BFloat16>(storage, {2, 3}, shift).Permute({1, 0});
    EXPECT_THAT(Values<float>(Cast(turned, DType::kF32)), ElementsAre(0, 3, 1, 4, 2, 5));
    const ConstView part = Counting<float>(storage, {2, 4}, shift).Slice(1, 1, 3);
    EXPECT_THAT(Values<float>(Cast(part, DType::kF32)), ElementsAre(1, 2, 5, 6));
  }
}

TEST(Cast, RoundsToTheNearestAndKeepsWhatIsNoNumber) {
  const float values[] = {1.0f + 0x1p-8f, 1.0f + 0x1.8p-7f, -0.0f,
                          std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()};
  const Tensor narrow = Cast(ConstView(values, {5}, DType::kF32, Device::kCpu), DType::kBF16);
  const std::vector<float> wide = Values<float>(Cast(narrow.view(), DType::kF32));
  EXPECT_EQ(wide[0], 1.0f);  // ties go to the even one
  EXPECT_EQ(wide[1], 1.0f + 0x1p-6f);
  EXPECT_TRUE(wide[2] == 0 && std::signbit(wide[2]));
  EXPECT_EQ(wide[3], values[3]);
  EXPECT_TRUE(std::isnan(wide[4]));
}

TEST(Cast, TakesSingleNumbersAndIntegers) {
  const int8_t codes[] = {-128, 127};
  const ConstView view(codes, {2}, DType::kI8, Device::kCpu);
  EXPECT_THAT(Values<int64_t>(Cast(view, DType::kI64)), ElementsAre(-128, 127));
  EXPECT_THAT(Values<int32_t>(Cast(view.Slice(0, 1, 2).Reshape({}), DType::kI32)),
              ElementsAre(127));
  const uint16_t halves[] = {0x3c00, 0x0001, 0xfc00};
  EXPECT_THAT(Values<float>(Cast(ConstView(halves, {3}, DType::kF16, Device::kCpu), DType::kF32)),
              ElementsAre(1, 0x1p-24f, -std::numeric_limits<float>::infinity()));
}

TEST(Cast, RefusesIntegersAsFloats) {
  const int8_t code = 1;
  ExpectError(ErrorKind::kUnsupported, {"cannot convert int8 to float32"},
              [&] { Cast(ConstView(&code, {1}, DType::kI8, Device::kCpu), DType::kF32); });
}

TEST(HostCopy, OfTheHostsOwnMemoryIsNone) {
  Tensor tensor({2, 3}, DType::kF32);
  tensor.MutableData<float>()[4] = 7;
  const HostCopy copy(tensor);
  EXPECT_EQ(copy.view().shape, tensor.shape());
  EXPECT_EQ(copy.view().Data<float>()[4], 7);
  if (CurrentBackend() == nullptr) {
    EXPECT_EQ(copy.view().data, tensor.view().data);
  }
}

TEST(Tensor, UnwrittenOnesHaveTheirShapeAndAreWritable) {
  for (const FirstUse first : {FirstUse::kHost, FirstUse::kDevice}) {
    Tensor tensor = Tensor::Unwritten({3, 5}, DType::kBF16, first);
    EXPECT_EQ(tensor.shape(), Shape({3, 5}));
    EXPECT_EQ(tensor.dtype(), DType::kBF16);
    std::fill_n(tensor.MutableData<BFloat16>(), 15, BFloat16(2));
    EXPECT_EQ(static_cast<float>(tensor.Data<BFloat16>()[14]), 2);
  }
}

}  // namespace
}  // namespace gesso
