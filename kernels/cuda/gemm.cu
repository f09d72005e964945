#include "kernels/cuda/gemm.h"

#include <array>
#include <map>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA advises for Hopper
enum ScratchSlot { kInputs, kProduct, kWorkspace };
static_assert(kWorkspace < kScratchSlots);

void CheckBlas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  Fail(ErrorKind::kDevice, "{}: {}", what, GetBlas().GetStatusString(status));
}

cudaDataType_t TypeOf(DType dtype) { return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

struct Weights : PackedMatrix::Storage {
  Tensor values;  // [N, K]

  explicit Weights(Tensor v) : values(std::move(v)) {}
  void Unpack(float* weight) const override {
    const Tensor floats = Cast(values, DType::kF32);
    std::copy_n(floats.Data<float>(), floats.shape().numel(), weight);
  }
};

const Weights* WeightsOf(const PackedMatrix& matrix) {
  return dynamic_cast<const Weights*>(&matrix.storage());
}

// out [M, N] = x [M, K] weight^T + beta * out; cuBLAS sees the transposes of all, column by column.
struct Product {
  int64_t rows, outputs, inputs;  // M, N, K
  int64_t stride;                 // from row to row of x
  DType in, out;
  bool accumulates;                             // beta is 1, not 0
  uint32_t x_alignment = 0, out_alignment = 0;  // bytes, of memory and rows

  auto operator<=>(const Product&) const = default;
};

// The largest power of two, up to what cuBLASLt assumes at most, that divides address and row.
uint32_t AlignmentOf(const void* data, int64_t row_bytes) {
  const auto bits = reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(row_bytes) | 256;
  return static_cast<uint32_t>(bits & -bits);
}

class Layout {
 public:
  Layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t stride) {
    CheckBlas(GetBlas().MatrixLayoutCreate(&layout_, type, static_cast<uint64_t>(rows),
                                           static_cast<uint64_t>(columns), stride),
              "describing a matrix");
  }
  ~Layout() { GetBlas().MatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  cublasLtMatrixLayout_t get() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

// A product of one shape, with the algorithm that cuBLASLt's heuristic chose for it once.
class Plan {
 public:
  Plan(cublasLtHandle_t handle, const Product& p)
      : weight_(TypeOf(p.in), p.inputs, p.outputs, p.inputs),
        x_(TypeOf(p.in), p.inputs, p.rows, p.stride),
        out_(TypeOf(p.out), p.outputs, p.rows, p.outputs),
        beta_(p.accumulates ? 1.0f : 0.0f) {
    CheckBlas(GetBlas().MatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
              "describing a product");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    CheckBlas(GetBlas().MatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                               sizeof(transposed)),
              "describing a product");
    cublasLtMatmulPreference_t preference = nullptr;
    CheckBlas(GetBlas().MatmulPreferenceCreate(&preference), "choosing an algorithm");
    CheckBlas(
        GetBlas().MatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &kWorkspaceBytes, sizeof(kWorkspaceBytes)),
        "choosing an algorithm");
    const auto align = [&](cublasLtMatmulPreferenceAttributes_t which, uint32_t bytes) {
      CheckBlas(GetBlas().MatmulPreferenceSetAttribute(preference, which, &bytes, sizeof(bytes)),
                "choosing an algorithm");
    };
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
          AlignmentOf(nullptr, p.inputs * static_cast<int64_t>(SizeOf(p.in))));
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p.x_alignment);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.out_alignment);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p.out_alignment);
    int found = 0;
    const cublasStatus_t status =
        GetBlas().MatmulAlgoGetHeuristic(handle, product_, weight_.get(), x_.get(), out_.get(),
                                         out_.get(), preference, 1, &chosen_, &found);
    GetBlas().MatmulPreferenceDestroy(preference);
    CheckBlas(status, "choosing an algorithm");
    Require(found > 0, ErrorKind::kDevice, "cuBLASLt has no product of {} x {} x {}", p.rows,
            p.outputs, p.inputs);
  }
  ~Plan() { GetBlas().MatmulDescDestroy(product_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  void Run(cublasLtHandle_t handle, const void* weight, const void* x, void* out) const {
    const float alpha = 1;
    CheckBlas(GetBlas().Matmul(handle, product_, &alpha, weight, weight_.get(), x, x_.get(), &beta_,
                               out, out_.get(), out, out_.get(), &chosen_.algo,
                               Scratch(kWorkspace, kWorkspaceBytes), kWorkspaceBytes, Stream()),
              "multiplying matrices");
  }

 private:
  Layout weight_, x_, out_;
  float beta_;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatmulHeuristicResult_t chosen_{};
};

// Runs a product; plans are made once a shape and alignment.
void Multiply(Product product, const void* weight, const void* x, void* out) {
  product.x_alignment = AlignmentOf(x, product.stride * static_cast<int64_t>(SizeOf(product.in)));
  product.out_alignment =
      AlignmentOf(out, product.outputs * static_cast<int64_t>(SizeOf(product.out)));
  static const cublasLtHandle_t handle = [] {
    cublasLtHandle_t made = nullptr;
    CheckBlas(GetBlas().Create(&made), "starting cuBLASLt");
    return made;
  }();
  static std::map<Product, Plan> plans;
  const auto plan = plans.try_emplace(product, handle, product).first;
  plan->second.Run(handle, weight, x, out);
}

// The rows of x in the type of the weights, and how far apart they are.
struct Inputs {
  const void* data;
  int64_t rows, stride;
};

Inputs ConvertedInputs(ConstView x, const PackedMatrix& weight) {
  const int64_t width = weight.cols();
  const int64_t rows = x.numel() / width;
  const int64_t stride = x.shape.rank() == 2 ? x.strides[0] : width;
  if (x.dtype == weight.dtype()) return {x.data, rows, stride};
  ConvertElement body;
  body.x = Numbers(x);
  body.out.data = Scratch(kInputs, static_cast<size_t>(x.numel()) * SizeOf(weight.dtype()));
  body.out.bf16 = weight.dtype() == DType::kBF16;
  body.width = width;
  body.x_stride = stride;
  ForEach(rows * width, body);
  return {body.out.data, rows, width};
}

std::optional<std::string_view> WhyNot(const PackedMatrix& weight, ConstView x, ConstView out) {
  if (WeightsOf(weight) == nullptr) return "weights packed for another device";
  return WhyNotReachable({x, out});
}

}  // namespace

PackedMatrix PackMatrix(ConstView weight, DType dtype) {
  return PackedMatrix(std::make_shared<Weights>(Cast(weight, dtype)), weight.shape[0],
                      weight.shape[1], dtype);
}

std::optional<std::string_view> WhyNotLinear(const LinearArgs& args) {
  if (const auto reason = WhyNotReachable({args.bias, args.residual})) return reason;
  return WhyNot(*args.weight, args.x, args.out);
}

void Linear(Context&, const LinearArgs& args) {
  const PackedMatrix& weight = *args.weight;
  const Inputs in = ConvertedInputs(args.x, weight);
  const void* values = WeightsOf(weight)->values.view().data;
  const bool plain = args.bias.empty() && args.activation == Activation::kNone;
  const bool in_place = args.residual.data == args.out.data;
  // cuBLASLt writes float32 from either type, and bfloat16 from bfloat16 alone.
  const bool direct = plain && (args.residual.empty() || in_place) &&
                      (args.out.dtype == DType::kF32 || weight.dtype() == DType::kBF16);
  if (direct) {
    return Multiply({in.rows, weight.rows(), weight.cols(), in.stride, weight.dtype(),
                     args.out.dtype, in_place},
                    values, in.data, args.out.data);
  }
  EpilogueElement body;
  body.product.data =
      Scratch(kProduct, static_cast<size_t>(args.out.numel()) * SizeOf(DType::kF32));
  body.bias = Numbers(args.bias);
  body.residual = Numbers(args.residual);
  body.out = Numbers(args.out);
  body.width = weight.rows();
  body.activation = args.activation;
  Multiply({in.rows, weight.rows(), weight.cols(), in.stride, weight.dtype(), DType::kF32, false},
           values, in.data, body.product.data);
  ForEach(args.out.numel(), body);
}

std::optional<std::string_view> WhyNotLinearGlu(const LinearGluArgs& args) {
  return WhyNot(*args.weight, args.x, args.out);
}

void LinearGlu(Context&, const LinearGluArgs& args) {
  const PackedMatrix& weight = *args.weight;
  const Inputs in = ConvertedInputs(args.x, weight);
  const int64_t features = weight.rows() / 2;
  auto* product = static_cast<float*>(
      Scratch(kProduct, static_cast<size_t>(in.rows * weight.rows()) * sizeof(float)));
  Multiply({in.rows, weight.rows(), weight.cols(), in.stride, weight.dtype(), DType::kF32, false},
           WeightsOf(weight)->values.view().data, in.data, product);
  const ConstView both(product, {in.rows, weight.rows()}, DType::kF32, Device::kCuda);
  const View out(args.out.data, {in.rows, features}, args.out.dtype, Device::kCuda);
  ForEach(out.numel(), GluElement(GluArgs{.value = both.Slice(1, 0, features),
                                          .gate = both.Slice(1, features, 2 * features),
                                          .activation = args.activation,
                                          .out = out}));
}

}  // namespace gesso::cuda
