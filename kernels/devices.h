// Which devices this build can compute on, and setting one up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/device.h"

namespace gesso {

// Names that --device takes in this build: "cpu", and "cuda" where it was built with CUDA.
std::vector<std::string_view> DeviceNames();

// Sets up the device and returns it; once, before the first tensor is made. Throws kUsage for an
// unknown name, kDevice for one that this build or this machine lacks.
Device UseDevice(std::string_view name);

// A line for each device of this machine that can be used, and for each other why not.
std::string DescribeDevices();

}  // namespace gesso
