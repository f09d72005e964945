#include "kernels/cuda/runtime.h"

#include <array>
#include <atomic>

#include "kernels/cuda/device/bytes.cuh"
#include "kernels/cuda/free_blocks.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/uploads.h"

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

#if CUDART_VERSION >= 13000
using Place = cudaMemLocation;
const Place kGpu = {cudaMemLocationTypeDevice, 0};
#else
using Place = int;
constexpr Place kGpu = 0;
#endif

void Prefetch(const void* memory, size_t bytes, cudaStream_t stream, const char* what) {
#if CUDART_VERSION >= 13000
  Check(cudaMemPrefetchAsync(memory, bytes, kGpu, 0, stream), what);
#else
  Check(cudaMemPrefetchAsync(memory, bytes, kGpu, stream), what);
#endif
}

cudaStream_t MakeStream() {
  cudaStream_t made = nullptr;
  Check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "making a stream");
  return made;
}

cudaStream_t TheStream() {
  static const cudaStream_t stream = MakeStream();
  return stream;
}

// Weights go to the device beside its work, which need not wait for them, nor they for it.
cudaStream_t UploadStream() {
  static const cudaStream_t stream = MakeStream();
  return stream;
}

// How often the stream was asked for, and how often it had been when it was last waited for: the
// host asks for results far more often than there are new ones. One thread gives work to it; any
// may wait.
std::atomic<uint64_t> uses = 0;
std::atomic<uint64_t> uses_waited_for = 0;

// Whether this thread has what it gives to Stream() recorded.
thread_local bool recording = false;

void RequireNoRecording(const char* what) {
  Require(!recording, ErrorKind::kInternal,
          "{} while the GPU's work was being recorded; run it with --no-graphs", what);
}

class Graph : public Recording {
 public:
  // Takes `graph`.
  explicit Graph(cudaGraph_t graph) {
    const cudaError_t status = cudaGraphInstantiate(&work_, graph, 0);
    cudaGraphDestroy(graph);
    Check(status, "preparing recorded work");
  }
  ~Graph() override {
    cudaStreamSynchronize(Stream());  // it may be at work
    cudaGraphExecDestroy(work_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void Play() override { Check(cudaGraphLaunch(work_, Stream()), "doing recorded work"); }

 private:
  cudaGraphExec_t work_ = nullptr;
};

// Scratch memory of one slot, never given back before the program ends.
struct ScratchBlock {
  void* memory = nullptr;
  size_t bytes = 0;
};
int64_t scratch_moves = 0;

// What tensors and arenas gave back.
std::shared_ptr<FreeBlocks> KeptBlocks() {
  constexpr size_t kMost = size_t{1} << 30;
  static const auto kept = std::make_shared<FreeBlocks>(kMost);
  return kept;
}

// The weights.
std::shared_ptr<Uploads> AllUploads() {
  static const auto uploads = std::make_shared<Uploads>();
  return uploads;
}

// `allocate` once more without blocks that nobody uses, where memory is short.
template <class Allocate>
cudaError_t WithRoom(const Allocate& allocate) {
  const cudaError_t status = allocate();
  if (status != cudaErrorMemoryAllocation) return status;
  cudaGetLastError();
  for (void* block : KeptBlocks()->TakeAll()) cudaFree(block);
  return allocate();
}

// Memory that host and device share.
void* NewBlock(size_t bytes) {
  void* memory = nullptr;
  Check(WithRoom([&] { return cudaMallocManaged(&memory, bytes); }), "reserving memory");
  return memory;
}

constexpr size_t kLeastCopied = size_t{64} << 10;  // of weights

class CudaBackend : public Backend {
 public:
  CudaBackend() {
    RequireDriver();
    properties_ = PropertiesOfFirst();
    Check(cudaSetDevice(0), "choosing the GPU");
    Stream();
    UploadStream();
    free_at_start_ = FreeNow();
  }

  std::shared_ptr<void> Allocate(size_t bytes, FirstUse first) override {
    RequireNoRecording("memory was reserved");
    const size_t block_bytes = FreeBlocks::BlockBytes(bytes);
    const std::optional<void*> found = kept_->Take(block_bytes);
    std::shared_ptr<void> memory = {found ? *found : NewBlock(block_bytes),
                                    [block_bytes, uploads = uploads_, kept = kept_](void* block) {
                                      // Weights are described as such to the driver, which a new
                                      // owner would suffer from.
                                      const bool was_uploaded = uploads->Remove(block, block_bytes);
                                      if (was_uploaded || !kept->Give(block, block_bytes))
                                        cudaFree(block);
                                    }};
    if (found && first == FirstUse::kHost) {
      Wait();
    } else if (!found && first == FirstUse::kDevice) {
      // In one go, not page by page as the GPU misses them.
      Prefetch(memory.get(), block_bytes, Stream(), "reserving memory");
    }
    return memory;
  }

  void Wait() override {
    RequireNoRecording("the host waited");
    const uint64_t so_far = uses;
    if (uses_waited_for >= so_far) return;
    Check(cudaStreamSynchronize(TheStream()), "waiting for the GPU");
    uses_waited_for = so_far;
  }

  std::string Describe() const override {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    return fmt::format("{}, compute capability {}.{}, {:.1f} GiB, {} multiprocessors, CUDA {}.{}",
                       properties_.name, properties_.major, properties_.minor,
                       static_cast<double>(properties_.totalGlobalMem) / (1 << 30),
                       properties_.multiProcessorCount, runtime / 1000, runtime % 1000 / 10);
  }

  void Write(void* to, const void* from, size_t bytes) override {
    RequireNoRecording("numbers were written");
    WriteBytes(static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from), bytes,
               [](int64_t count, const BytesElement& body) { ForEach(count, body); });
  }

  void Read(void* to, const void* from, size_t bytes) override {
    RequireNoRecording("the host looked at a result");
    Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, Stream()), "reading results");
    Wait();
  }

  void Upload(const void* memory, size_t bytes) override {
    if (bytes == 0) return;
    uploads_->Add(memory, bytes);
    // Too small a block is not worth another copy beside the host's.
    if (bytes >= kLeastCopied) {
      Check(cudaMemAdvise(memory, bytes, cudaMemAdviseSetReadMostly, kGpu), "describing weights");
    }
    Prefetch(memory, bytes, UploadStream(), "copying weights");
  }

  // Weights and blocks that wait for their next use make room: what does not fit beside the work is
  // read anew when needed, or forgotten.
  size_t FreeBytes() const override {
    return FreeBesideWeights(FreeNow(), uploads_->bytes() + kept_->bytes(), free_at_start_);
  }

  void BeginRecording() override {
    CHECK(!recording);
    // What other threads ask of CUDA is not refused.
    Check(cudaStreamBeginCapture(Stream(), cudaStreamCaptureModeThreadLocal), "recording work");
    recording = true;
  }

  std::unique_ptr<Recording> EndRecording() override {
    recording = false;
    cudaGraph_t graph = nullptr;
    Check(cudaStreamEndCapture(Stream(), &graph), "recording work");
    return std::make_unique<Graph>(graph);
  }

  void DropRecording() noexcept override {
    recording = false;
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(Stream(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();  // that of a recording that was broken off is not the next work's
  }

  int64_t ScratchMoves() const override { return scratch_moves; }

 private:
  static size_t FreeNow() {
    size_t free = 0;
    size_t total = 0;
    Check(cudaMemGetInfo(&free, &total), "asking for free memory");
    return free;
  }

  cudaDeviceProp properties_{};
  size_t free_at_start_ = 0;
  std::shared_ptr<FreeBlocks> kept_ = KeptBlocks();
  std::shared_ptr<Uploads> uploads_ = AllUploads();
};

}  // namespace

cudaStream_t Stream() {
  ++uses;
  return TheStream();
}

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // or the next kernel that is launched would be blamed for it
  if (status == cudaErrorMemoryAllocation) {
    size_t free = 0;
    size_t total = 0;
    cudaMemGetInfo(&free, &total);
    Fail(ErrorKind::kMemory, "{}: the GPU's memory is full, {:.1f} of {:.1f} GiB are free; {}",
         what, static_cast<double>(free) / (1 << 30), static_cast<double>(total) / (1 << 30),
         kLessMemory);
  }
  Fail(ErrorKind::kDevice, "{}: CUDA error {} ({})", what, cudaGetErrorName(status),
       cudaGetErrorString(status));
}

namespace {

// The GPU's own memory; where that is full, memory that it shares with the host: slower, but the
// work goes on.
void* NewScratch(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = WithRoom([&] { return cudaMalloc(&memory, bytes); });
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return NewBlock(bytes);
  }
  Check(status, "reserving memory for intermediate results");
  return memory;
}

}  // namespace

void* Scratch(int slot, size_t bytes) {
  static std::array<ScratchBlock, kScratchSlots> blocks;
  ScratchBlock& block = blocks.at(static_cast<size_t>(slot));
  if (bytes > block.bytes) {
    RequireNoRecording("memory for intermediate results was reserved");
    Check(cudaStreamSynchronize(Stream()), "waiting for the GPU");
    Check(cudaFree(block.memory), "giving memory back");
    block = {};
    ++scratch_moves;
    block.memory = NewScratch(bytes);
    block.bytes = bytes;
  }
  return block.memory;
}

bool IsRecording() { return recording; }

uint64_t UploadIdOf(const void* memory) { return AllUploads()->IdOf(memory); }

std::unique_ptr<Backend> MakeBackend() { return std::make_unique<CudaBackend>(); }

std::optional<std::string_view> WhyNotReachable(std::initializer_list<ConstView> views) {
  for (const ConstView& view : views) {
    if (!view.empty() && view.device != Device::kCuda) return "an argument lies in host memory";
  }
  return std::nullopt;
}

}  // namespace gesso::cuda
