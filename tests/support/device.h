// GESSO_TEST_DEVICE=cuda: the same tests on a GPU. The inputs that they make lie in memory which
// both sides reach, and tests of ops run the device's implementations beside the CPU's. Where there
// is no such device all tests are skipped, which ctest shows as such. A report
// (--gtest_output) names the device that they ran on.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/core/error.h"
#include "kernels/devices.h"

namespace gesso::testing_support {

class ChosenDevice : public testing::Environment {
 public:
  void SetUp() override {
    const char* name = std::getenv("GESSO_TEST_DEVICE");
    if (name == nullptr) return;
    try {
      device() = UseDevice(name);
      testing::Test::RecordProperty("device", name);
    } catch (const Error& error) {
      GTEST_SKIP() << "skipped: " << error.what();
    }
  }

  static Device& device() {
    static Device device = Device::kCpu;
    return device;
  }
};

}  // namespace gesso::testing_support
