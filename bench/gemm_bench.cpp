// Products on the shapes of the oxford-flowers HDiT at 256 pixels, beside oneDNN's own, and on
// those of a Diffusion Mamba with weights in few bits.
#include <fmt/format.h>

#include <optional>

#include "bench/op_bench.h"
#include "kernels/gemm.h"
#include "kernels/low_bit.h"

namespace gesso::bench {

namespace {

struct LinearCall {
  Tensor x, residual, out;
  PackedMatrix weight;
  LinearArgs args;

  // Residuals are float32, everything else is of type `dtype`, but for weights in few bits.
  LinearCall(int64_t m, int64_t n, int64_t k, bool with_residual, DType dtype,
             std::optional<LowBit> few = std::nullopt)
      : x(Cast(Values({m, k}), dtype)),
        residual(with_residual ? Values({m, n}) : Tensor()),
        out({m, n}, with_residual ? DType::kF32 : dtype),
        weight(few ? PackLowBit(ChosenDevice(), Quantize(Values({n, k}), *few), dtype)
                   : PackMatrix(ChosenDevice(), Values({n, k}), dtype)) {
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

  LinearGluCall(int64_t m, int64_t n, int64_t k, DType dtype)
      : x(Cast(Values({m, k}), dtype)),
        out({m, n / 2}, dtype),
        weight(PackMatrix(ChosenDevice(), Values({n, k}), dtype)) {
    args.x = x;
    args.weight = &weight;
    args.out = out.mutable_view();
  }
};

void RegisterOneDnn(int64_t m, int64_t n, int64_t k, DType dtype, const std::string& shape) {
  if (ChosenDevice() != Device::kCpu) return;
  const std::shared_ptr<OneDnnProduct> product = OneDnnProduct::Make(m, n, k, dtype);
  if (product == nullptr) return;
  const auto values = static_cast<double>(m * k + k * n + m * n);
  const OpCost cost = {2.0 * static_cast<double>(m * n * k),
                       static_cast<double>(SizeOf(dtype)) * values};
  benchmark::RegisterBenchmark(("dnnl_matmul/" + shape).c_str(),
                               [product, cost](benchmark::State& state) {
                                 for (auto _ : state) product->Run();
                                 ReportCost(state, cost);
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

// In float32, and in bfloat16 where the CPU gains from it.
void Register(const char* what, int64_t m, int64_t n, int64_t k, bool gated, bool residual) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (ActivationDType(ChosenDevice(), dtype) != dtype) continue;
    const std::string shape = fmt::format("{}/{}/{}x{}x{}", what, NameOf(dtype), m, n, k);
    if (gated) {
      RegisterOp(LinearGluTable(), shape, std::make_shared<LinearGluCall>(m, n, k, dtype));
    } else {
      RegisterOp(LinearTable(), shape, std::make_shared<LinearCall>(m, n, k, residual, dtype));
    }
    RegisterOneDnn(m, n, k, dtype, shape);
  }
}

// The products of a Diffusion Mamba 768 wide over 1024 tokens, in bfloat16 and with rounded inputs.
void RegisterRoundedInputs() {
  constexpr DType kType = DType::kBF16;
  if (ActivationDType(ChosenDevice(), kType) != kType) return;
  constexpr int64_t kTokens = 1024;
  const auto add = [&](const char* what, int64_t n, int64_t k) {
    for (const auto few :
         {std::optional<LowBit>(), std::optional(LowBit::kW8A8), std::optional(LowBit::kF8A8)}) {
      const std::string shape = fmt::format("dim_{}/{}/{}x{}x{}", what,
                                            few ? NameOf(*few) : NameOf(kType), kTokens, n, k);
      RegisterOp(LinearTable(), shape,
                 std::make_shared<LinearCall>(kTokens, n, k, false, kType, few));
    }
  };
  add("in_proj", 3072, 768);
  add("x_proj", 80, 1536);
  add("dt_proj", 1536, 48);
  add("out_proj", 768, 1536);
}

// Few rows, for which reading the weights is what takes the time. The matrices are large: each is
// made when its line runs, once for all implementations; a small one says which those are.
void RegisterFewRows() {
  constexpr int64_t kSide = 4096;
  for (const int64_t rows : {1, 8}) {
    for (const auto few :
         {std::optional<LowBit>(), std::optional(LowBit::kQ8), std::optional(LowBit::kQ4),
          std::optional(LowBit::kW8A8), std::optional(LowBit::kF8), std::optional(LowBit::kF8A8)}) {
      const auto make = [=](int64_t side) {
        return std::make_shared<LinearCall>(rows, side, side, false, DType::kBF16, few);
      };
      const std::string shape =
          fmt::format("few/{}/{}x{}x{}", few ? NameOf(*few) : "bfloat16", rows, kSide, kSide);
      RegisterOpMadeLate(LinearTable(), shape, make(256)->args,
                         [make, made = std::make_shared<std::shared_ptr<LinearCall>>()] {
                           if (*made == nullptr) *made = make(kSide);
                           return *made;
                         });
    }
  }
}

}  // namespace

void RegisterProducts() {
  RegisterRoundedInputs();
  RegisterFewRows();
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
