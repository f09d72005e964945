#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace gesso {
namespace {

TEST(FourierFeatures, CosinesFirstThenSines) {
  Tensor u({2, 2}, DType::kF32);
  Tensor weight({3, 2}, DType::kF32);
  Tensor out({2, 6}, DType::kF32);
  for (int i = 0; i < 4; ++i) u.MutableData<float>()[i] = 0.3f * static_cast<float>(i) - 0.4f;
  for (int i = 0; i < 6; ++i) weight.MutableData<float>()[i] = 0.7f - static_cast<float>(i);
  Arena arena(Device::kCpu, 0);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  FourierFeatures(ctx, {.u = u, .weight = weight, .out = out.mutable_view()});
  for (int b = 0; b < 2; ++b) {
    for (int f = 0; f < 3; ++f) {
      double angle = 0;
      for (int n = 0; n < 2; ++n) {
        angle += 2 * std::numbers::pi * static_cast<double>(weight.Data<float>()[f * 2 + n]) *
                 static_cast<double>(u.Data<float>()[b * 2 + n]);
      }
      EXPECT_NEAR(out.Data<float>()[b * 6 + f], std::cos(angle), 1e-6) << b << " " << f;
      EXPECT_NEAR(out.Data<float>()[b * 6 + 3 + f], std::sin(angle), 1e-6) << b << " " << f;
    }
  }
}

TEST(FourierFeatures, RefusesShapesThatDoNotFit) {
  const Tensor u({2, 9}, DType::kF32);
  const Tensor weight({3, 1}, DType::kF32);
  Tensor out({2, 6}, DType::kF32);
  Arena arena(Device::kCpu, 0);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  EXPECT_THROW(FourierFeatures(ctx, {.u = u, .weight = weight, .out = out.mutable_view()}), Error);
}

}  // namespace
}  // namespace gesso
