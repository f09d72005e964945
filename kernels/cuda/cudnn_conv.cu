#include "kernels/cuda/cudnn_conv.h"

#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "kernels/cuda/conv.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/cuda/product.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

namespace {

constexpr size_t kMostWorkspace = size_t{256} << 20;  // of the algorithms that are considered

void CheckCudnn(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  Fail(ErrorKind::kDevice, "{}: cuDNN: {}", what, GetCudnn().GetErrorString(status));
}

cudnnDataType_t TypeOf(DType dtype) {
  return dtype == DType::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

cudnnHandle_t Handle() {
  static const cudnnHandle_t handle = [] {
    cudnnHandle_t made = nullptr;
    CheckCudnn(GetCudnn().Create(&made), "starting cuDNN");
    CheckCudnn(GetCudnn().SetStream(made, Stream()), "starting cuDNN");
    return made;
  }();
  Stream();  // tells that there is work for it
  return handle;
}

// x [B, H, W, I] or out [B, H', W', O], channels last.
class TensorOf {
 public:
  TensorOf(const Shape& s, DType type) {
    CheckCudnn(GetCudnn().CreateTensorDescriptor(&tensor_), "describing a picture");
    CheckCudnn(GetCudnn().SetTensor4dDescriptor(tensor_, CUDNN_TENSOR_NHWC, TypeOf(type),
                                                static_cast<int>(s[0]), static_cast<int>(s[3]),
                                                static_cast<int>(s[1]), static_cast<int>(s[2])),
               "describing a picture");
  }
  ~TensorOf() { GetCudnn().DestroyTensorDescriptor(tensor_); }
  TensorOf(const TensorOf&) = delete;
  TensorOf& operator=(const TensorOf&) = delete;
  cudnnTensorDescriptor_t get() const { return tensor_; }

 private:
  cudnnTensorDescriptor_t tensor_ = nullptr;
};

// A kernel whose memory is [O, KH, KW, I/groups].
class FilterOf {
 public:
  explicit FilterOf(const PackedKernel& kernel) {
    const Shape& s = kernel.shape();
    CheckCudnn(GetCudnn().CreateFilterDescriptor(&filter_), "describing a kernel");
    CheckCudnn(GetCudnn().SetFilter4dDescriptor(filter_, TypeOf(kernel.dtype()), CUDNN_TENSOR_NHWC,
                                                static_cast<int>(s[0]), static_cast<int>(s[1]),
                                                static_cast<int>(s[2]), static_cast<int>(s[3])),
               "describing a kernel");
  }
  ~FilterOf() { GetCudnn().DestroyFilterDescriptor(filter_); }
  FilterOf(const FilterOf&) = delete;
  FilterOf& operator=(const FilterOf&) = delete;
  cudnnFilterDescriptor_t get() const { return filter_; }

 private:
  cudnnFilterDescriptor_t filter_ = nullptr;
};

// Sums in float32 of either type, and of float32 without TF32.
class ConvolutionOf {
 public:
  explicit ConvolutionOf(const PackedKernel& kernel) {
    const Conv2dShape& conv = kernel.conv();
    const auto padding = static_cast<int>(conv.padding);
    const auto stride = static_cast<int>(conv.stride);
    const auto dilation = static_cast<int>(conv.dilation);
    CheckCudnn(GetCudnn().CreateConvolutionDescriptor(&convolution_), kWhat);
    CheckCudnn(GetCudnn().SetConvolution2dDescriptor(convolution_, padding, padding, stride, stride,
                                                     dilation, dilation, CUDNN_CROSS_CORRELATION,
                                                     CUDNN_DATA_FLOAT),
               kWhat);
    CheckCudnn(GetCudnn().SetConvolutionGroupCount(convolution_, static_cast<int>(conv.groups)),
               kWhat);
    CheckCudnn(
        GetCudnn().SetConvolutionMathType(
            convolution_, kernel.dtype() == DType::kBF16 ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH),
        kWhat);
  }
  ~ConvolutionOf() { GetCudnn().DestroyConvolutionDescriptor(convolution_); }
  ConvolutionOf(const ConvolutionOf&) = delete;
  ConvolutionOf& operator=(const ConvolutionOf&) = delete;
  cudnnConvolutionDescriptor_t get() const { return convolution_; }

 private:
  static constexpr const char* kWhat = "describing a convolution";
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
};

// Those that add up products as they are, the same way every time: Winograd's and Fourier's
// transforms lose digits.
bool IsPlainSum(const cudnnConvolutionFwdAlgoPerf_t& found) {
  return found.status == CUDNN_STATUS_SUCCESS && found.determinism == CUDNN_DETERMINISTIC &&
         found.memory <= kMostWorkspace &&
         (found.algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM ||
          found.algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ||
          found.algo == CUDNN_CONVOLUTION_FWD_ALGO_GEMM ||
          found.algo == CUDNN_CONVOLUTION_FWD_ALGO_DIRECT);
}

// A convolution of one shape, with the algorithm that cuDNN's heuristic put first.
class Plan {
 public:
  explicit Plan(const Conv2dArgs& args)
      : x_(args.x.shape, args.kernel->dtype()),
        filter_(*args.kernel),
        convolution_(*args.kernel),
        out_(args.out.shape, args.kernel->dtype()) {
    std::array<cudnnConvolutionFwdAlgoPerf_t, CUDNN_CONVOLUTION_FWD_ALGO_COUNT> found{};
    int count = 0;
    CheckCudnn(GetCudnn().GetConvolutionForwardAlgorithm(
                   Handle(), x_.get(), filter_.get(), convolution_.get(), out_.get(),
                   static_cast<int>(found.size()), &count, found.data()),
               "choosing an algorithm");
    const std::span candidates(found.data(), static_cast<size_t>(count));
    const auto chosen = std::ranges::find_if(candidates, IsPlainSum);
    Require(chosen != candidates.end(), ErrorKind::kUnsupported,
            "cuDNN has no algorithm for this shape");
    algorithm_ = chosen->algo;
    CheckCudnn(GetCudnn().GetConvolutionForwardWorkspaceSize(Handle(), x_.get(), filter_.get(),
                                                             convolution_.get(), out_.get(),
                                                             algorithm_, &workspace_bytes_),
               "choosing an algorithm");
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // out = convolution + beta * out
  void Run(const void* x, const void* kernel, float beta, void* out) const {
    const float alpha = 1;
    CheckCudnn(GetCudnn().ConvolutionForward(Handle(), &alpha, x_.get(), x, filter_.get(), kernel,
                                             convolution_.get(), algorithm_,
                                             Scratch(kWorkspace, workspace_bytes_),
                                             workspace_bytes_, &beta, out_.get(), out),
               "convolving");
  }

 private:
  TensorOf x_;
  FilterOf filter_;
  ConvolutionOf convolution_;
  TensorOf out_;
  cudnnConvolutionFwdAlgo_t algorithm_{};
  size_t workspace_bytes_ = 0;
};

// A plan, or cuDNN's words of refusal.
struct Choice {
  std::unique_ptr<const Plan> plan;
  std::string why_not;

  explicit Choice(const Conv2dArgs& args) {
    try {
      plan = std::make_unique<const Plan>(args);
    } catch (const Error& error) {
      why_not = error.what();
    }
  }
};

// Made once a shape and type.
const Choice& ChoiceFor(const Conv2dArgs& args) {
  using Key = std::array<int64_t, 12>;
  static std::map<Key, Choice> choices;
  const Shape& x = args.x.shape;
  const Shape& kernel = args.kernel->shape();
  const Conv2dShape& conv = args.kernel->conv();
  const Key key = {x[0],         x[1],          x[2],
                   kernel[0],    kernel[1],     kernel[2],
                   kernel[3],    conv.stride,   conv.groups,
                   conv.padding, conv.dilation, static_cast<int64_t>(args.kernel->dtype())};
  return choices.try_emplace(key, args).first->second;
}

const void* ConvertedInput(const Conv2dArgs& args) {
  const DType type = args.kernel->dtype();
  if (args.x.dtype == type) return args.x.data;
  ConvertElement body;
  body.x = Numbers(args.x);
  body.out.data = Scratch(kInputs, static_cast<size_t>(args.x.numel()) * SizeOf(type));
  body.out.bf16 = type == DType::kBF16;
  body.width = body.x_stride = args.x.shape[3];
  ForEachVector(args.x.numel(), body);
  return body.out.data;
}

}  // namespace

std::optional<std::string_view> WhyNotConv2dCudnn(const Conv2dArgs& args) {
  if (const auto reason = WhyNotConv2d(args)) return reason;
  if (const auto reason = WhyNotCudnnShape(args)) return reason;
  if (GetCudnn().why_not) return GetCudnn().why_not;
  const Choice& choice = ChoiceFor(args);
  return choice.plan ? std::nullopt : std::optional<std::string_view>(choice.why_not);
}

void Conv2dCudnn(Context&, const Conv2dArgs& args) {
  const Plan& plan = *ChoiceFor(args).plan;
  const DType type = args.kernel->dtype();
  const void* kernel = KernelValues(*args.kernel).data;
  const void* x = ConvertedInput(args);
  const bool in_place = args.residual.data == args.out.data;
  const bool plain = args.bias.empty() && args.activation == Activation::kNone;
  if (plain && (args.residual.empty() || in_place) && args.out.dtype == type) {
    return plan.Run(x, kernel, in_place ? 1 : 0, args.out.data);
  }
  EpilogueElement body;
  body.product.data = Scratch(kProduct, static_cast<size_t>(args.out.numel()) * SizeOf(type));
  body.product.bf16 = type == DType::kBF16;
  body.bias = Numbers(args.bias);
  body.residual = Numbers(args.residual);
  body.out = Numbers(args.out);
  body.width = args.kernel->shape()[0];
  body.activation = args.activation;
  plan.Run(x, kernel, 0, body.product.data);
  ForEachVector(args.out.numel(), body);
}

}  // namespace gesso::cuda
