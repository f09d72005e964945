// Scans and convolutions of state-space models: a Mamba block 512 wide, and time against length.
#include <fmt/format.h>

#include "bench/op_bench.h"
#include "kernels/causal_conv.h"
#include "kernels/scan.h"

namespace gesso::bench {

namespace {

Tensor Rates(const Shape& shape) {
  Tensor rates(shape, DType::kF32);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    rates.MutableData<float>()[i] = -static_cast<float>(i % 16 + 1);
  }
  return rates;
}

struct SelectiveScanCall {
  Tensor u, delta, a, b, c, d, bias, z, out;
  SelectiveScanArgs args;

  SelectiveScanCall(int64_t length, int64_t channels, int64_t states, DType dtype, bool both)
      : u(Values({1, length, channels}, dtype)),
        delta(Values({1, length, channels}, dtype)),
        a(Rates({channels, states})),
        b(Values({1, length, 1, states}, dtype)),
        c(Values({1, length, 1, states}, dtype)),
        d(Values({channels})),
        bias(Values({channels})),
        z(Values({1, length, channels}, dtype)),
        out({1, length, channels}, dtype) {
    args.forward = {.u = u, .delta = delta, .a = a, .b = b, .c = c, .d = d, .delta_bias = bias};
    if (both) args.backward = args.forward;
    args.z = z;
    args.out = out.mutable_view();
  }
};

struct SsdCall {
  Tensor x, dt, a, b, c, d, bias, out;
  SsdArgs args;

  SsdCall(int64_t length, int64_t heads, int64_t head_dim, int64_t states, DType dtype)
      : x(Values({1, length, heads, head_dim}, dtype)),
        dt(Values({1, length, heads}, dtype)),
        a(Rates({heads})),
        b(Values({1, length, 1, states}, dtype)),
        c(Values({1, length, 1, states}, dtype)),
        d(Values({heads})),
        bias(Values({heads})),
        out({1, length, heads, head_dim}, dtype) {
    args.x = x;
    args.dt = dt;
    args.a = a;
    args.b = b;
    args.c = c;
    args.d = d;
    args.dt_bias = bias;
    args.dt_softplus = true;
    args.out = out.mutable_view();
  }
};

struct CausalConvCall {
  Tensor x, weight, bias, out;
  CausalConv1dArgs args;

  CausalConvCall(int64_t length, int64_t channels, DType dtype)
      : x(Values({1, length, channels}, dtype)),
        weight(Values({channels, 4})),
        bias(Values({channels})),
        out({1, length, channels}, dtype) {
    args.x = x;
    args.weight = weight;
    args.bias = bias;
    args.activation = Activation::kSilu;
    args.out = out.mutable_view();
  }
};

void RegisterScan(int64_t length, int64_t channels, DType dtype, bool both) {
  constexpr int64_t kStates = 16;
  RegisterOp(
      SelectiveScanTable(),
      fmt::format("{}{}/{}x{}x{}", both ? "both/" : "", NameOf(dtype), length, channels, kStates),
      std::make_shared<SelectiveScanCall>(length, channels, kStates, dtype, both),
      static_cast<double>(length * channels * kStates * (both ? 2 : 1)));
}

}  // namespace

void RegisterScans() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    RegisterScan(1024, 1024, dtype, false);
    RegisterOp(SsdTable(), fmt::format("{}/1024x16x64x64", NameOf(dtype)),
               std::make_shared<SsdCall>(1024, 16, 64, 64, dtype));
    RegisterOp(CausalConv1dTable(), fmt::format("{}/1024x1024x4", NameOf(dtype)),
               std::make_shared<CausalConvCall>(1024, 1024, dtype));
  }
  RegisterScan(1024, 1024, DType::kF32, true);
  RegisterScan(1, 1024, DType::kF32, false);
  // Time against length.
  for (int64_t length = 256; length <= 65536; length *= 4) {
    RegisterScan(length, 256, DType::kF32, false);
  }
}

}  // namespace gesso::bench
