#include "kernels/cuda/conv.h"

#include "kernels/cuda/cudnn_conv.h"
#include "kernels/cuda/device/conv.cuh"
#include "kernels/cuda/product.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

namespace {

constexpr int64_t kPatchBytes = int64_t{64} << 20;  // of patches that are held at a time, at most

struct Kernel : PackedKernel::Storage {
  Tensor values;      // [O, KH, KW, I/groups]
  Tensor taps_first;  // [KH, KW, O] where I/groups is 1, else empty

  explicit Kernel(Tensor v) : values(std::move(v)) {
    Upload(values);
    if (values.shape()[3] != 1) return;
    taps_first = Cast(values.view().Permute({1, 2, 0, 3}), values.dtype());
    Upload(taps_first);
  }
  void Unpack(float* weight) const override {
    const Tensor floats = Cast(values.view().Permute({0, 3, 1, 2}), DType::kF32);
    std::copy_n(floats.Data<float>(), floats.shape().numel(), weight);
  }
};

const Kernel* KernelOf(const PackedKernel& kernel) {
  return dynamic_cast<const Kernel*>(&kernel.storage());
}

}  // namespace

PackedKernel PackKernel(ConstView weight, DType dtype, Conv2dShape conv) {
  return PackedKernel(std::make_shared<Kernel>(Cast(weight.Permute({0, 2, 3, 1}), dtype)),
                      weight.shape, dtype, conv);
}

ConstView KernelValues(const PackedKernel& kernel) {
  const Kernel* storage = KernelOf(kernel);
  return storage == nullptr ? ConstView() : storage->values.view();
}

std::optional<std::string_view> WhyNotConv2d(const Conv2dArgs& args) {
  if (KernelValues(*args.kernel).empty()) return "a kernel packed for another device";
  return WhyNotReachable({args.x, args.bias, args.residual, args.out});
}

void Conv2d(Context&, const Conv2dArgs& args) {
  const ConstView weight = KernelValues(*args.kernel);
  if (args.kernel->conv().groups > 1) {
    const bool depthwise = weight.shape[0] == args.x.shape[3] && weight.shape[3] == 1;
    return ConvolveInGroups(args, weight,
                            depthwise ? KernelOf(*args.kernel)->taps_first.view() : ConstView(),
                            [](int64_t count, const auto& body) { ForEach(count, body); });
  }
  const DType type = args.kernel->dtype();
  const int64_t outputs = args.kernel->shape()[0];
  const int64_t pixels = args.out.numel() / outputs;
  PatchElement body(args);
  Product product{pixels, outputs, body.depth, body.depth, type};
  Epilogue epilogue{.bias = Numbers(args.bias),
                    .activation = args.activation,
                    .residual = Numbers(args.residual),
                    .out = Numbers(args.out)};
  if (IsProduct(args)) return MultiplyAndFinish(product, weight.data, {args.x.data}, epilogue);
  const int64_t bytes = body.depth * static_cast<int64_t>(SizeOf(type));
  const int64_t most = std::clamp<int64_t>(kPatchBytes / bytes, 1, pixels);
  body.patches.data = Scratch(kInputs, static_cast<size_t>(most * bytes));
  body.patches.bf16 = type == DType::kBF16;
  for (body.first = 0; body.first < pixels; body.first += most) {
    product.rows = std::min(most, pixels - body.first);
    ForEachVector(product.rows * body.depth, body);
    MultiplyAndFinish(product, weight.data, {body.patches.data},
                      {.bias = epilogue.bias,
                       .activation = epilogue.activation,
                       .residual = epilogue.residual.From(body.first * outputs),
                       .out = epilogue.out.From(body.first * outputs)});
  }
}

}  // namespace gesso::cuda
