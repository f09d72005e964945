// Products on the shapes of the oxford-flowers HDiT at 256 pixels, beside oneDNN's own, and on
// those of a Diffusion Mamba with weights in few bits.
#include <fmt/format.h>

#include <optional>

#include "bench/op_bench.h"
#include "kernels/low_bit.h"
#include "kernels/norm_linear.h"

namespace gesso::bench {

namespace {

struct LinearShape {
  int64_t m, n, k;
  DType dtype;                         // of everything but weights in few bits
  std::optional<DType> residual = {};  // there is one, of this type, as the result is then
  bool bias = false;
  Activation activation = Activation::kNone;
  std::optional<LowBit> few = {};
};

struct LinearCall {
  PackedMatrix weight;
  Tensor bias;  // zeros
  LinearArgs args;

  LinearCall(Room& room, const LinearShape& shape)
      : weight(room.Weight(shape.n, shape.k, shape.dtype, shape.few)) {
    const Shape out = {shape.m, shape.n};
    args.x = room.Values({shape.m, shape.k}, shape.dtype);
    args.weight = &weight;
    if (shape.bias) {
      bias = Tensor({shape.n}, DType::kF32);
      Upload(bias);  // as those of models
      args.bias = bias;
    }
    args.activation = shape.activation;
    if (shape.residual) args.residual = room.Values(out, *shape.residual);
    args.out = room.Empty(out, shape.residual.value_or(shape.dtype));
  }
};

struct LinearGluCall {
  PackedMatrix weight;
  LinearGluArgs args;

  LinearGluCall(Room& room, int64_t m, int64_t n, int64_t k, DType dtype)
      : weight(room.Weight(n, k, dtype)) {
    args.x = room.Values({m, k}, dtype);
    args.weight = &weight;
    args.out = room.Empty({m, n / 2}, dtype);
  }
};

// A branch's first product behind its adaLN: x in float32, what lies between products in bfloat16.
struct NormLinearCall {
  PackedMatrix weight;
  NormLinearArgs args;

  NormLinearCall(Room& room, int64_t m, int64_t n, int64_t k, LowBit few)
      : weight(room.Weight(n, k, DType::kBF16, few)) {
    const View normed = room.Empty({1, m, k}, DType::kBF16);
    args.norm = LayerNormArgs{.x = room.Values({1, m, k}),
                              .scale = room.Values({1, k}),
                              .shift = room.Values({1, k}),
                              .scale_offset = 1,
                              .out = normed};
    args.product = LinearArgs{.x = normed,
                              .weight = &weight,
                              .bias = room.Values({n}),
                              .residual = {},
                              .out = room.Empty({m, n}, DType::kBF16)};
  }
};

// The same as two ops.
const OpTable<NormLinearArgs>& TwoSteps() {
  static const OpTable<NormLinearArgs> kTable(
      "norm_linear", [](const NormLinearArgs& args) { return NormLinearTable().CostOf(args); },
      {{"two_steps", ChosenDevice(), AcceptsAll, [](Context& ctx, const NormLinearArgs& args) {
          Norm(ctx, args.norm);
          Multiply(ctx, args.product);
        }}});
  return kTable;
}

void RegisterOneDnn(int64_t m, int64_t n, int64_t k, DType dtype, const std::string& shape) {
  const std::string name = "dnnl_matmul/" + shape;
  if (ChosenDevice() != Device::kCpu || !IsWanted(name)) return;
  const std::shared_ptr<OneDnnProduct> product = OneDnnProduct::Make(m, n, k, dtype);
  if (product == nullptr) return;
  const auto values = static_cast<double>(m * k + k * n + m * n);
  const OpCost cost = {2.0 * static_cast<double>(m * n * k),
                       static_cast<double>(SizeOf(dtype)) * values};
  benchmark::RegisterBenchmark(name.c_str(),
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
      RegisterOp<LinearGluCall>(LinearGluTable(), shape, m, n, k, dtype);
    } else {
      LinearShape linear = {m, n, k, dtype};
      if (residual) linear.residual = DType::kF32;
      RegisterOp<LinearCall>(LinearTable(), shape, linear);
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
      RegisterOp<LinearCall>(LinearTable(),
                             fmt::format("dim_{}/{}/{}x{}x{}", what,
                                         few ? NameOf(*few) : NameOf(kType), kTokens, n, k),
                             LinearShape{.m = kTokens, .n = n, .k = k, .dtype = kType, .few = few});
    }
  };
  add("in_proj", 3072, 768);
  add("x_proj", 80, 1536);
  add("dt_proj", 1536, 48);
  add("out_proj", 768, 1536);
}

// Few rows, for which reading the weights is what takes the time.
void RegisterFewRows() {
  constexpr int64_t kSide = 4096;
  for (const auto few :
       {std::optional<LowBit>(), std::optional(LowBit::kQ8), std::optional(LowBit::kQ4),
        std::optional(LowBit::kW8A8), std::optional(LowBit::kF8), std::optional(LowBit::kF8A8)}) {
    for (const int64_t rows : {1, 8}) {
      RegisterOp<LinearCall>(
          LinearTable(),
          fmt::format("few/{}/{}x{}x{}", few ? NameOf(*few) : "bfloat16", rows, kSide, kSide),
          LinearShape{.m = rows, .n = kSide, .k = kSide, .dtype = DType::kBF16, .few = few});
    }
  }
}

// Products of square matrices, as they are and with what models do in the same pass.
void RegisterLargeProducts(int64_t side, DType dtype) {
  const std::string shape = fmt::format("{}/{}x{}x{}", NameOf(dtype), side, side, side);
  LinearShape linear = {side, side, side, dtype};
  RegisterLarge<LinearCall>(LinearTable(), shape, linear);
  linear.bias = true;
  linear.activation = Activation::kGeluErf;
  RegisterLarge<LinearCall>(LinearTable(), "bias_gelu/" + shape, linear);
  linear.activation = Activation::kNone;
  linear.residual = dtype;
  RegisterLarge<LinearCall>(LinearTable(), "bias_residual/" + shape, linear);
  RegisterLarge<LinearGluCall>(LinearGluTable(), shape, side, side, side, dtype);
}

void RegisterLargeLowBit() {
  for (const LowBit few : {LowBit::kQ8, LowBit::kW8A8, LowBit::kF8A8}) {
    RegisterLarge<LinearCall>(
        LinearTable(), fmt::format("{}/8192x4096x4096", NameOf(few)),
        LinearShape{.m = 8192, .n = 4096, .k = 4096, .dtype = DType::kBF16, .few = few});
  }
}

// Queries, keys and values of a DiT and of a VAR's last scale.
void RegisterNormedProducts() {
  for (const LowBit few : {LowBit::kW8A8, LowBit::kF8A8}) {
    const auto add = [&](int64_t m, int64_t n, int64_t k) {
      const std::string shape = fmt::format("{}/{}x{}x{}", NameOf(few), m, n, k);
      RegisterLarge<NormLinearCall>(NormLinearTable(), shape, m, n, k, few);
      RegisterLarge<NormLinearCall>(TwoSteps(), shape, m, n, k, few);
    };
    add(4096, 3456, 1152);
    add(1360, 3072, 1024);
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
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t side : {4096, 8192}) RegisterLargeProducts(side, dtype);
  }
  RegisterLargeLowBit();
  RegisterNormedProducts();
}

}  // namespace gesso::bench
