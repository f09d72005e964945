// Products on the shapes of the oxford-flowers HDiT at 256 pixels, beside oneDNN's own.
#include <fmt/format.h>

#include "bench/op_bench.h"
#include "kernels/gemm.h"

namespace gesso::bench {

namespace {

struct LinearCall {
  Tensor x, residual, out;
  PackedMatrix weight;
  LinearArgs args;

  LinearCall(int64_t m, int64_t n, int64_t k, bool with_residual)
      : x(Values({m, k})),
        residual(with_residual ? Values({m, n}) : Tensor()),
        out({m, n}, DType::kF32),
        weight(PackMatrix(Device::kCpu, Values({n, k}), DType::kF32)) {
    args.x = x;
    args.weight = &weight;
    if (with_residual) args.residual = residual;
    args.out = out.mutable_view();
  }
};

struct LinearGluCall {
  Tensor x, out;
  PackedMatrix weight;
  LinearGluArgs args;

  LinearGluCall(int64_t m, int64_t n, int64_t k)
      : x(Values({m, k})),
        out({m, n / 2}, DType::kF32),
        weight(PackMatrix(Device::kCpu, Values({n, k}), DType::kF32)) {
    args.x = x;
    args.weight = &weight;
    args.out = out.mutable_view();
  }
};

void RegisterOneDnn(int64_t m, int64_t n, int64_t k, const std::string& shape) {
  const std::shared_ptr<OneDnnProduct> product = OneDnnProduct::Make(m, n, k, DType::kF32);
  if (product == nullptr) return;
  const auto values = static_cast<double>(m * k + k * n + m * n);
  const OpCost cost = {2.0 * static_cast<double>(m * n * k), 4 * values};
  benchmark::RegisterBenchmark(("dnnl_matmul/" + shape).c_str(),
                               [product, cost](benchmark::State& state) {
                                 for (auto _ : state) product->Run();
                                 ReportCost(state, cost);
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void Register(const char* what, int64_t m, int64_t n, int64_t k, bool gated, bool residual) {
  const std::string shape = fmt::format("{}/{}x{}x{}", what, m, n, k);
  if (gated) {
    RegisterOp(LinearGluTable(), shape, std::make_shared<LinearGluCall>(m, n, k));
  } else {
    RegisterOp(LinearTable(), shape, std::make_shared<LinearCall>(m, n, k, residual));
  }
  RegisterOneDnn(m, n, k, shape);
}

}  // namespace

void RegisterProducts() {
  for (const int64_t batch : {1, 4}) {
    for (int64_t level = 0; level < 3; ++level) {
      const int64_t width = int64_t{128} << level;
      const int64_t tokens = batch * (int64_t{4096} >> (2 * level));
      Register("qkv", tokens, 3 * width, width, false, false);
      Register("out", tokens, width, width, false, true);
      Register("up", tokens, 6 * width, width, true, false);
      Register("down", tokens, width, 3 * width, false, true);
      if (level < 2) {
        Register("merge", tokens / 4, 2 * width, 4 * width, false, false);
        Register("split", tokens / 4, 4 * width, 2 * width, false, false);
      }
    }
    Register("condition", batch, 512, 256, false, false);  // an AdaRMSNorm's scale
    Register("mapping", batch, 1536, 256, true, false);
  }
}

}  // namespace gesso::bench
