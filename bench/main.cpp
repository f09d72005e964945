// gesso_bench_ops: every op on the shapes of the models, against the machine's own limits.
// Usage: gesso_bench_ops [--device=cuda] [--threads=N] [--isa=avx2] [Google Benchmark's flags]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string_view>

#include "bench/op_bench.h"
#include "kernels/core/parallel.h"
#include "kernels/devices.h"
#include "kernels/isa.h"
#include "kernels/peaks.h"

namespace gesso::bench {

namespace {

Device chosen = Device::kCpu;

Peaks PeaksOfDevice() {
  constexpr int64_t kSide = 8192;
  const DevicePeaks floats = MeasurePeaks(chosen, DType::kF32, kSide);
  const DevicePeaks narrow = MeasurePeaks(chosen, DType::kBF16, kSide);
  return {.gemm_flops = floats.flops,
          .gemm_bf16_flops = narrow.flops,
          .copy_bytes = std::max(floats.bytes, narrow.bytes)};
}

void Run() {
  const Peaks& peaks = ChosenPeaks();
  std::fprintf(stderr,
               "%d threads; peaks: FMA %.1f GFLOP/s, GEMM %.1f GFLOP/s (bfloat16 %.1f), scan %.2f "
               "G steps/s, copy %.1f GB/s\n",
               NumThreads(), peaks.fma_flops / 1e9, peaks.gemm_flops / 1e9,
               peaks.gemm_bf16_flops / 1e9, peaks.scan_steps / 1e9, peaks.copy_bytes / 1e9);
  RegisterProducts();
  RegisterAttentions();
  RegisterConvolutions();
  RegisterPointwise();
  RegisterScans();
  RegisterPictures();
  benchmark::RunSpecifiedBenchmarks();
}

}  // namespace

Device ChosenDevice() { return chosen; }

bool IsWanted(const std::string& name) {
  std::string filter = benchmark::GetBenchmarkFilter();
  if (filter.empty() || filter == "all") return true;
  const bool inverted = filter.front() == '-';
  if (inverted) filter.erase(0, 1);
  const std::string whole =
      name + (chosen == Device::kCpu ? "/real_time"
                                     : fmt::format("/iterations:{}/manual_time", kDeviceRuns));
  try {
    return std::regex_search(whole, std::regex(filter, std::regex::extended)) != inverted;
  } catch (const std::regex_error&) {
    return true;  // Google Benchmark says what is wrong with it
  }
}

const Peaks& ChosenPeaks() {
  static const Peaks peaks = chosen == Device::kCpu ? MeasuredPeaks() : PeaksOfDevice();
  return peaks;
}

// Google Benchmark's flags stay in argv.
int Main(int argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const auto value_of = [&](std::string_view name) {
      return flag.starts_with(name) ? argv[i] + name.size() : nullptr;
    };
    if (const char* threads = value_of("--threads=")) {
      SetNumThreads(std::atoi(threads));
    } else if (const char* isa = value_of("--isa=")) {
      LimitIsa(isa);
    } else if (const char* device = value_of("--device=")) {
      chosen = UseDevice(device);
    } else {
      argv[kept++] = argv[i];
    }
  }
  benchmark::Initialize(&kept, argv);
  if (benchmark::ReportUnrecognizedArguments(kept, argv)) return 2;
  Run();
  return 0;
}

}  // namespace gesso::bench

int main(int argc, char** argv) {
  try {
    return gesso::bench::Main(argc, argv);
  } catch (const gesso::Error& error) {
    std::fprintf(stderr, "gesso_bench_ops: %s\n", error.what());
    return gesso::ExitCode(error.kind());
  }
}
