// The CUDA backend: one device, one stream, memory that host and device share. No CUDA type shows
// here; launch.cuh is the side that .cu files see.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>

#include "kernels/core/backend.h"
#include "kernels/core/tensor.h"

namespace gesso::cuda {

// The first device. Throws kDevice where there is none, where the driver is missing or too old for
// the runtime this was built with, or where the device is older than compute capability 8.0.
std::unique_ptr<Backend> MakeBackend();

// Of memory that was uploaded (Backend::Upload), and so is only read: the same number again says
// that the values are the same. 0: it was not.
uint64_t UploadIdOf(const void* memory);

// Whether what this thread gives to the device is recorded instead of done.
bool IsRecording();

// Why an op cannot read or write one of these on the device: it lies in memory of the host alone (a
// mapped file). Absent (empty) arguments are fine.
std::optional<std::string_view> WhyNotReachable(std::initializer_list<ConstView> views);

}  // namespace gesso::cuda
