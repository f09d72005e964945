#include "kernels/devices.h"

#include <fmt/ranges.h>

#include "kernels/core/backend.h"
#include "kernels/core/error.h"
#include "kernels/core/parallel.h"
#include "kernels/cuda/runtime.h"

namespace gesso {

namespace {

std::unique_ptr<Backend> MakeCudaBackend() {
#ifdef GESSO_HAS_CUDA
  return cuda::MakeBackend();
#else
  Fail(ErrorKind::kDevice,
       "this build has no CUDA support: install the packages of the group cuda (packages.txt) and "
       "build again");
#endif
}

}  // namespace

std::vector<std::string_view> DeviceNames() {
#ifdef GESSO_HAS_CUDA
  return {"cpu", "cuda"};
#else
  return {"cpu"};
#endif
}

Device UseDevice(std::string_view name) {
  if (name == "cpu") return Device::kCpu;
  Require(name == "cuda", ErrorKind::kUsage, "--device: there is no device '{}' (choices: {})",
          name, fmt::join(DeviceNames(), ", "));
  if (CurrentBackend() == nullptr) {
    WithContext("--device cuda", [] { UseBackend(MakeCudaBackend()); });
  }
  return Device::kCuda;
}

std::string DescribeDevices() {
  std::string text = fmt::format("cpu   {} threads\n", NumThreads());
  try {
    text += fmt::format("cuda  {}\n", MakeCudaBackend()->Describe());
  } catch (const Error& error) {
    text += fmt::format("cuda  not available: {}\n", error.what());
  }
  return text;
}

}  // namespace gesso
