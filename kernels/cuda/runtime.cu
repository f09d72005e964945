#include "kernels/cuda/runtime.h"

#include <array>

#include "kernels/cuda/launch.cuh"

namespace gesso::cuda {

namespace {

constexpr int kOldestMajor = 8;

void RequireDriver() {
  int driver = 0;
  int runtime = 0;
  Check(cudaDriverGetVersion(&driver), "asking for the CUDA driver");
  Check(cudaRuntimeGetVersion(&runtime), "asking for the CUDA runtime");
  Require(driver > 0, ErrorKind::kDevice, "no CUDA driver is installed: install NVIDIA's driver");
  Require(driver / 1000 >= runtime / 1000, ErrorKind::kDevice,
          "the CUDA driver is too old: it supports CUDA {}.{}, this build needs {}.0 or newer; "
          "update NVIDIA's driver",
          driver / 1000, driver % 1000 / 10, runtime / 1000);
}

cudaDeviceProp PropertiesOfFirst() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  Require(status != cudaErrorNoDevice && (status != cudaSuccess || count > 0), ErrorKind::kDevice,
          "no NVIDIA GPU was found");
  Check(status, "looking for NVIDIA GPUs");
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, 0), "asking for the GPU's properties");
  Require(properties.major >= kOldestMajor, ErrorKind::kDevice,
          "{} has compute capability {}.{}; {}.0 or newer is needed", properties.name,
          properties.major, properties.minor, kOldestMajor);
  Require(properties.concurrentManagedAccess != 0, ErrorKind::kDevice,
          "{} cannot share memory with the host on this system", properties.name);
  return properties;
}

class CudaBackend : public Backend {
 public:
  CudaBackend() {
    RequireDriver();
    properties_ = PropertiesOfFirst();
    Check(cudaSetDevice(0), "choosing the GPU");
    Stream();
  }

  std::shared_ptr<void> Allocate(size_t bytes) override {
    void* memory = nullptr;
    Check(cudaMallocManaged(&memory, std::max<size_t>(bytes, 1)), "reserving memory");
    return {memory, [](void* block) { cudaFree(block); }};
  }

  void Wait() override { Check(cudaStreamSynchronize(Stream()), "waiting for the GPU"); }

  std::string Describe() const override {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    return fmt::format("{}, compute capability {}.{}, {:.1f} GiB, {} multiprocessors, CUDA {}.{}",
                       properties_.name, properties_.major, properties_.minor,
                       static_cast<double>(properties_.totalGlobalMem) / (1 << 30),
                       properties_.multiProcessorCount, runtime / 1000, runtime % 1000 / 10);
  }

 private:
  cudaDeviceProp properties_{};
};

// Memory of one scratch slot, never given back before the program ends.
struct ScratchBlock {
  void* memory = nullptr;
  size_t bytes = 0;
};

}  // namespace

cudaStream_t Stream() {
  static const cudaStream_t stream = [] {
    cudaStream_t made = nullptr;
    Check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "making a stream");
    return made;
  }();
  return stream;
}

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const ErrorKind kind =
      status == cudaErrorMemoryAllocation ? ErrorKind::kMemory : ErrorKind::kDevice;
  Fail(kind, "{}: CUDA error {} ({})", what, cudaGetErrorName(status), cudaGetErrorString(status));
}

void* Scratch(int slot, size_t bytes) {
  static std::array<ScratchBlock, kScratchSlots> blocks;
  ScratchBlock& block = blocks.at(static_cast<size_t>(slot));
  if (bytes > block.bytes) {
    Check(cudaStreamSynchronize(Stream()), "waiting for the GPU");
    Check(cudaFree(block.memory), "giving memory back");
    block = {};
    Check(cudaMalloc(&block.memory, bytes), "reserving memory for intermediate results");
    block.bytes = bytes;
  }
  return block.memory;
}

std::unique_ptr<Backend> MakeBackend() { return std::make_unique<CudaBackend>(); }

std::optional<std::string_view> WhyNotReachable(std::initializer_list<ConstView> views) {
  for (const ConstView& view : views) {
    if (!view.empty() && view.device != Device::kCuda) return "an argument lies in host memory";
  }
  return std::nullopt;
}

}  // namespace gesso::cuda
