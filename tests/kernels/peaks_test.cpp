#include "kernels/peaks.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gesso {
namespace {

TEST(Peaks, AreMeasuredByTheDevicesOwnOps) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const DevicePeaks peaks = MeasurePeaks(Device::kCpu, dtype, 64);
    EXPECT_GT(peaks.flops, 0);
    EXPECT_GT(peaks.bytes, 0);
    EXPECT_TRUE(std::isfinite(peaks.flops) && std::isfinite(peaks.bytes));
  }
}

}  // namespace
}  // namespace gesso
