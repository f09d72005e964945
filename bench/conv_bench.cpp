// Convolutions of decoders, VAR's for 256 pixels and the demo model's for 128, and the one of a
// Diffusion Mamba, channel by channel.
#include <fmt/format.h>

#include "bench/op_bench.h"
#include "kernels/conv.h"
#include "kernels/gemm.h"

namespace gesso::bench {

namespace {

struct ConvShape {
  const char* what;
  int64_t side, inputs, outputs;  // pixels and channels
  int64_t groups = 1;
  bool residual = false;
  int64_t batch = 1;
};

struct ConvCall {
  PackedKernel kernel;
  Conv2dArgs args;

  ConvCall(Room& room, const ConvShape& shape, DType dtype)
      : kernel(room.Kernel({shape.outputs, shape.inputs / shape.groups, 3, 3}, dtype,
                           {.padding = 1, .groups = shape.groups})) {
    const Shape out = {shape.batch, shape.side, shape.side, shape.outputs};
    args.x = room.Values({shape.batch, shape.side, shape.side, shape.inputs}, dtype);
    args.kernel = &kernel;
    args.bias = room.Values({shape.outputs});
    if (shape.residual) args.residual = room.Values(out, dtype);
    args.out = room.Empty(out, dtype);
  }
};

std::string NameOf(const ConvShape& shape, DType dtype) {
  return fmt::format("{}/{}/{}x{}x{}x{}", shape.what, NameOf(dtype), shape.side, shape.side,
                     shape.inputs, shape.outputs);
}

}  // namespace

void RegisterConvolutions() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (ActivationDType(ChosenDevice(), dtype) != dtype) continue;
    for (const ConvShape& shape : {
             ConvShape{"var", 16, 640, 640, 1, true},
             ConvShape{"var", 32, 640, 640},
             ConvShape{"var", 64, 320, 320, 1, true},
             ConvShape{"var", 128, 320, 160},
             ConvShape{"var", 256, 160, 160, 1, true},
             ConvShape{"var", 256, 160, 3},
             ConvShape{"demo_var", 16, 96, 96, 1, true},
             ConvShape{"demo_var", 32, 96, 64},
             ConvShape{"demo_var", 64, 64, 64},
             ConvShape{"demo_var", 128, 32, 32, 1, true},
             ConvShape{"demo_var", 128, 32, 3},
             ConvShape{"depthwise", 32, 768, 768, 768},
         }) {
      RegisterOp<ConvCall>(Conv2dTable(), NameOf(shape, dtype), shape, dtype);
    }
    for (const ConvShape& shape : {
             ConvShape{"var", 256, 160, 160, 1, true, 8},
             ConvShape{"demo_var", 128, 32, 32, 1, true, 64},
             ConvShape{"depthwise", 64, 1536, 1536, 1536, false, 8},
         }) {
      RegisterLarge<ConvCall>(
          Conv2dTable(), fmt::format("{}x{}", shape.batch, NameOf(shape, dtype)), shape, dtype);
    }
  }
}

}  // namespace gesso::bench
