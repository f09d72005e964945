// What this machine can do at most, measured in the same run as everything that is compared with
// it: arithmetic in registers, a large matrix product, copying memory.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/core/dtype.h"

namespace gesso::bench {

struct Peaks {
  double fma_flops = 0;        // float32 multiply-adds in registers, all threads, FLOP/s
  double gemm_flops = 0;       // oneDNN's float32 product of 2048 x 2048 matrices, FLOP/s
  double gemm_bf16_flops = 0;  // the same in bfloat16; 0 where oneDNN cannot
  double scan_steps = 0;       // an exp and four multiply-adds in registers, all threads, 1/s
  double copy_bytes = 0;       // memory read + written by a copy of 256 MiB, bytes/s
};

// Takes about three seconds the first time.
const Peaks& MeasuredPeaks();

// oneDNN's own matmul with weights in the layout that it prefers: what our products are measured
// against.
class OneDnnProduct {
 public:
  // Null where oneDNN has no such product on this CPU.
  static std::unique_ptr<OneDnnProduct> Make(int64_t m, int64_t n, int64_t k, DType dtype);
  virtual ~OneDnnProduct() = default;
  virtual void Run() = 0;
};

}  // namespace gesso::bench
