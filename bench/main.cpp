// gesso_bench_ops: every op on the shapes of the models, against the machine's own limits.
// Usage: gesso_bench_ops [--threads=N] [--isa=avx2] [Google Benchmark's flags]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "bench/op_bench.h"
#include "kernels/core/parallel.h"
#include "kernels/isa.h"

namespace gesso::bench {

Tensor Values(const Shape& shape, DType dtype) {
  Tensor values(shape, DType::kF32);
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  float* to = values.MutableData<float>();
  for (int64_t i = 0; i < shape.numel(); ++i) to[i] = uniform(generator);
  return dtype == DType::kF32 ? std::move(values) : Cast(values, dtype);
}

}  // namespace gesso::bench

int main(int argc, char** argv) {
  using gesso::bench::MeasuredPeaks;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--threads=", 10) == 0) {
      gesso::SetNumThreads(std::atoi(argv[i] + 10));
    } else if (std::strncmp(argv[i], "--isa=", 6) == 0) {
      gesso::LimitIsa(argv[i] + 6);
    } else {
      argv[kept++] = argv[i];
    }
  }
  benchmark::Initialize(&kept, argv);
  if (benchmark::ReportUnrecognizedArguments(kept, argv)) return 2;
  const gesso::bench::Peaks& peaks = MeasuredPeaks();
  std::fprintf(stderr,
               "%d threads; peaks: FMA %.1f GFLOP/s, GEMM %.1f GFLOP/s (bfloat16 %.1f), scan %.2f "
               "G steps/s, copy %.1f GB/s\n",
               gesso::NumThreads(), peaks.fma_flops / 1e9, peaks.gemm_flops / 1e9,
               peaks.gemm_bf16_flops / 1e9, peaks.scan_steps / 1e9, peaks.copy_bytes / 1e9);
  gesso::bench::RegisterProducts();
  gesso::bench::RegisterAttentions();
  gesso::bench::RegisterPointwise();
  gesso::bench::RegisterScans();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
