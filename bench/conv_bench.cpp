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
};

struct ConvCall {
  Tensor x, bias, residual, out;
  PackedKernel kernel;
  Conv2dArgs args;

  ConvCall(const ConvShape& shape, DType dtype)
      : x(Values({1, shape.side, shape.side, shape.inputs}, dtype)),
        bias(Values({shape.outputs})),
        out({1, shape.side, shape.side, shape.outputs}, dtype),
        kernel(PackKernel(ChosenDevice(),
                          Values({shape.outputs, shape.inputs / shape.groups, 3, 3}), dtype,
                          {.padding = 1, .groups = shape.groups})) {
    if (shape.residual) residual = Values(out.shape(), dtype);
    args.x = x;
    args.kernel = &kernel;
    args.bias = bias;
    if (shape.residual) args.residual = residual;
    args.out = out.mutable_view();
  }
};

// The pictures are large: each is made when its line runs, once for all implementations; a small
// one says which those are.
void RegisterConv(const ConvShape& shape, DType dtype) {
  if (ActivationDType(ChosenDevice(), dtype) != dtype) return;
  ConvShape small = shape;
  small.side = 4;
  const auto sample = std::make_shared<ConvCall>(small, dtype);
  const auto made = std::make_shared<std::shared_ptr<ConvCall>>();
  RegisterOpMadeLate(Conv2dTable(),
                     fmt::format("{}/{}/{}x{}x{}x{}", shape.what, NameOf(dtype), shape.side,
                                 shape.side, shape.inputs, shape.outputs),
                     sample->args, [=] {
                       if (*made == nullptr) *made = std::make_shared<ConvCall>(shape, dtype);
                       return *made;
                     });
}

}  // namespace

void RegisterConvolutions() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
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
      RegisterConv(shape, dtype);
    }
  }
}

}  // namespace gesso::bench
