// Scans and convolutions of state-space models: a Mamba block 512 wide, and time against length.
#include <fmt/format.h>

#include "bench/op_bench.h"
#include "kernels/causal_conv.h"
#include "kernels/scan.h"

namespace gesso::bench {

namespace {

// Of decay, 1 to 16.
View Rates(Room& room, const Shape& shape) {
  return room.Filled(shape, [](int64_t i) { return -static_cast<float>(i % 16 + 1); });
}

struct ScanShape {
  int64_t batch, length, channels;
  DType dtype;
  bool both = false;  // directions

  static constexpr int64_t kStates = 16;
  std::string name() const {
    return fmt::format("{}{}/{}{}x{}x{}", both ? "both/" : "", NameOf(dtype),
                       batch == 1 ? "" : fmt::format("{}x", batch), length, channels, kStates);
  }
};

struct SelectiveScanCall {
  SelectiveScanArgs args;
  double scan_steps;

  SelectiveScanCall(Room& room, const ScanShape& s)
      : scan_steps(static_cast<double>(s.batch * s.length * s.channels * ScanShape::kStates *
                                       (s.both ? 2 : 1))) {
    const Shape tokens = {s.batch, s.length, s.channels};
    const Shape states = {s.batch, s.length, 1, ScanShape::kStates};
    args.forward = {.u = room.Values(tokens, s.dtype),
                    .delta = room.Values(tokens, s.dtype),
                    .a = Rates(room, {s.channels, ScanShape::kStates}),
                    .b = room.Values(states, s.dtype),
                    .c = room.Values(states, s.dtype),
                    .d = room.Values({s.channels}),
                    .delta_bias = room.Values({s.channels})};
    if (s.both) args.backward = args.forward;
    args.z = room.Values(tokens, s.dtype);
    args.out = room.Empty(tokens, s.dtype);
  }
};

struct SsdCall {
  SsdArgs args;

  // Heads of 64 channels, 64 states.
  SsdCall(Room& room, int64_t batch, int64_t length, int64_t heads, DType dtype) {
    constexpr int64_t kSide = 64;
    args.x = room.Values({batch, length, heads, kSide}, dtype);
    args.dt = room.Values({batch, length, heads}, dtype);
    args.a = Rates(room, {heads});
    args.b = room.Values({batch, length, 1, kSide}, dtype);
    args.c = room.Values({batch, length, 1, kSide}, dtype);
    args.d = room.Values({heads});
    args.dt_bias = room.Values({heads});
    args.dt_softplus = true;
    args.out = room.Empty(args.x.shape, dtype);
  }
};

struct CausalConvCall {
  CausalConv1dArgs args;

  CausalConvCall(Room& room, int64_t batch, int64_t length, int64_t channels, DType dtype) {
    args.x = room.Values({batch, length, channels}, dtype);
    args.weight = room.Values({channels, 4});
    args.bias = room.Values({channels});
    args.activation = Activation::kSilu;
    args.out = room.Empty(args.x.shape, dtype);
  }
};

void RegisterScan(const ScanShape& shape) {
  RegisterOp<SelectiveScanCall>(SelectiveScanTable(), shape.name(), shape);
}

void RegisterLargeScans(int64_t batch, int64_t length, int64_t channels, DType dtype) {
  for (const bool both : {false, true}) {
    const ScanShape shape = {batch, length, channels, dtype, both};
    RegisterLarge<SelectiveScanCall>(SelectiveScanTable(), shape.name(), shape);
  }
  const std::string tokens = fmt::format("{}/{}x{}", NameOf(dtype), batch, length);
  RegisterLarge<SsdCall>(SsdTable(), fmt::format("{}x{}x64x64", tokens, channels / 64), batch,
                         length, channels / 64, dtype);
  RegisterLarge<CausalConvCall>(CausalConv1dTable(), fmt::format("{}x{}x4", tokens, channels),
                                batch, length, channels, dtype);
}

}  // namespace

void RegisterScans() {
  constexpr int64_t kOne = 1;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    RegisterScan({1, 1024, 1024, dtype});
    RegisterOp<SsdCall>(SsdTable(), fmt::format("{}/1024x16x64x64", NameOf(dtype)), kOne,
                        int64_t{1024}, int64_t{16}, dtype);
    RegisterOp<CausalConvCall>(CausalConv1dTable(), fmt::format("{}/1024x1024x4", NameOf(dtype)),
                               kOne, int64_t{1024}, int64_t{1024}, dtype);
    RegisterLargeScans(1, 65536, 1024, dtype);
    RegisterLargeScans(8, 8192, 1536, dtype);
  }
  RegisterScan({1, 1024, 1024, DType::kF32, true});
  RegisterScan({1, 1, 1024, DType::kF32});
  // Time against length.
  for (int64_t length = 256; length <= 65536; length *= 4) {
    RegisterScan({1, length, 256, DType::kF32});
  }
}

}  // namespace gesso::bench
