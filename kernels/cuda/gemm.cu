#include "kernels/cuda/gemm.h"

#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/cuda/low_bit.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

namespace {

struct Weights : PackedMatrix::Storage {
  Tensor values;  // [N, K]

  explicit Weights(Tensor v) : values(std::move(v)) {
    if (values.dtype() == DType::kBF16) {
      rounded_bias_ = Tensor::Unwritten({values.shape()[0]}, DType::kBF16);
    }
  }
  // `bias` [N] in bfloat16, rounded once for the layer that it belongs to; absent where its values
  // may change.
  Numbers RoundedBias(ConstView bias) const {
    const uint64_t id = bias.empty() || rounded_bias_.empty() ? 0 : UploadIdOf(bias.data);
    // What is recorded is not done yet, and may never be.
    if (id == 0 || (id != rounded_id_ && IsRecording())) return {};
    const Numbers rounded(rounded_bias_.view());
    if (id != rounded_id_) {
      ConvertElement body;
      body.x = Numbers(bias);
      body.out = rounded;
      body.width = body.x_stride = bias.numel();
      ForEachVector(bias.numel(), body);
      rounded_id_ = id;
    }
    return rounded;
  }
  void Unpack(float* weight) const override {
    const Tensor floats = Cast(values, DType::kF32);
    std::copy_n(floats.Data<float>(), floats.shape().numel(), weight);
  }

 private:
  Tensor rounded_bias_;              // of bfloat16 weights
  mutable uint64_t rounded_id_ = 0;  // of the bias that lies there
};

const Weights* WeightsOf(const PackedMatrix& matrix) {
  return dynamic_cast<const Weights*>(&matrix.storage());
}

std::optional<std::string_view> WhyNot(const PackedMatrix& weight, ConstView x, ConstView out) {
  if (weight.encoding() != PackedMatrix::Encoding::kDevice) {
    return "weights packed for another device";
  }
  return WhyNotReachable({x, out});
}

// Of weights that are numbers of either type.
void Multiply(ConstView x, const PackedMatrix& weight, const void* weights,
              const Epilogue& epilogue) {
  const Inputs in = ConvertedInputs(x, weight);
  MultiplyAndFinish({in.rows, weight.rows(), weight.cols(), in.stride, weight.dtype()}, weights,
                    in.data, epilogue);
}

// x in two bfloat16 matrices.
InputParts SplitRows(const Numbers& x, int64_t rows, int64_t width, int64_t stride) {
  const int64_t count = rows * width;
  SplitElement body;
  body.x = x;
  body.first.bf16 = true;
  // Both begin at a multiple of 16 bytes.
  const int64_t apart = (count + kVector - 1) / kVector * kVector;
  body.first.data = Scratch(kInputs, static_cast<size_t>(2 * apart) * sizeof(uint16_t));
  body.second = body.first.From(apart);
  body.width = width;
  body.x_stride = stride;
  ForEachVector(count, body);
  return {body.first.data, body.second.data};
}

// x in float32.
InputParts WidenedRows(const Numbers& x, int64_t rows, int64_t width, int64_t stride) {
  const int64_t count = rows * width;
  ConvertElement body;
  body.x = x;
  body.out.data = Scratch(kInputs, static_cast<size_t>(count) * sizeof(float));
  body.width = width;
  body.x_stride = stride;
  ForEachVector(count, body);
  return {body.out.data};
}

}  // namespace

Inputs ConvertedInputs(ConstView x, const PackedMatrix& weight) {
  const int64_t width = weight.cols();
  const int64_t rows = x.numel() / width;
  const int64_t stride = x.shape.rank() == 2 ? x.strides[0] : width;
  if (x.dtype == weight.dtype()) return {{x.data}, rows, stride};
  const auto converted = weight.dtype() == DType::kBF16 ? SplitRows : WidenedRows;
  return {converted(Numbers(x), rows, width, stride), rows, width};
}

void ActivateHalves(const LinearGluArgs& args, const std::function<void(View)>& multiply) {
  const int64_t both = args.weight->rows();
  const int64_t rows = args.x.numel() / args.weight->cols();
  // Half the traffic where cuBLASLt can round what is rounded in the end anyway.
  const bool narrow = args.out.dtype == DType::kBF16 && args.x.dtype == DType::kBF16 &&
                      args.weight->dtype() == DType::kBF16;
  const DType type = narrow ? DType::kBF16 : DType::kF32;
  const size_t bytes = static_cast<size_t>(rows * both) * SizeOf(type);
  const View product(Scratch(kHalves, bytes), {rows, both}, type, Device::kCuda);
  multiply(product);
  const ConstView halves = product;
  const View out(args.out.data, {rows, both / 2}, args.out.dtype, Device::kCuda);
  ForEachVector(out.numel(), GluElement(GluArgs{.value = halves.Slice(1, 0, both / 2),
                                                .gate = halves.Slice(1, both / 2, both),
                                                .activation = args.activation,
                                                .out = out}));
}

PackedMatrix PackMatrix(ConstView weight, DType dtype) {
  auto storage = std::make_shared<Weights>(Cast(weight, dtype));
  Upload(storage->values);
  const size_t bytes = storage->values.view().bytes();
  return PackedMatrix(storage, weight.shape[0], weight.shape[1], dtype,
                      PackedMatrix::Encoding::kDevice, bytes);
}

std::optional<std::string_view> WhyNotLinear(const LinearArgs& args) {
  if (const auto reason = WhyNotReachable({args.bias, args.residual})) return reason;
  return WhyNot(*args.weight, args.x, args.out);
}

void Linear(Context&, const LinearArgs& args) {
  const PackedMatrix& weight = *args.weight;
  const Weights* const floats = WeightsOf(weight);
  if (floats == nullptr) return LinearLowBit(args);
  Epilogue epilogue = EpilogueOf(args);
  if (args.x.dtype == DType::kBF16 && args.out.dtype == DType::kBF16) {
    epilogue.rounded_bias = floats->RoundedBias(args.bias);
  }
  Multiply(args.x, weight, floats->values.view().data, epilogue);
}

std::optional<std::string_view> WhyNotLinearGlu(const LinearGluArgs& args) {
  return WhyNot(*args.weight, args.x, args.out);
}

void LinearGlu(Context&, const LinearGluArgs& args) {
  const PackedMatrix& weight = *args.weight;
  const Weights* const floats = WeightsOf(weight);
  if (floats == nullptr) return LinearGluLowBit(args);
  ActivateHalves(args, [&](View product) {
    Multiply(args.x, weight, floats->values.view().data,
             {.bias = {}, .residual = {}, .out = Numbers(product)});
  });
}

}  // namespace gesso::cuda
