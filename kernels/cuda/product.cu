#include "kernels/cuda/product.h"

#include <map>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/code_layout.h"
#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/cuda/launch.cuh"

namespace gesso::cuda {

namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA advises for Hopper
static_assert(kWorkspace < kScratchSlots);

void CheckBlas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  Fail(ErrorKind::kDevice, "{}: {}", what, GetBlas().GetStatusString(status));
}

cudaDataType_t TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF8E4M3:
      return CUDA_R_8F_E4M3;
    case DType::kBF16:
      return CUDA_R_16BF;
    case DType::kI8:
      return CUDA_R_8I;
    case DType::kI32:
      return CUDA_R_32I;
    default:
      return CUDA_R_32F;
  }
}

// out = product + beta * out, as cuBLASLt is asked for it.
struct Planned {
  Product product;
  DType out;
  bool accumulates;                     // beta is 1, not 0
  uint32_t x_alignment, out_alignment;  // bytes, of memory and rows

  auto operator<=>(const Planned&) const = default;
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
  Plan(cublasLtHandle_t handle, const Planned& planned) : Plan(handle, planned.product, planned) {}
  Plan(cublasLtHandle_t handle, const Product& p, const Planned& planned)
      : weight_(TypeOf(p.in), p.inputs, p.outputs, p.inputs),
        x_(TypeOf(p.in), p.inputs, p.rows, p.stride),
        out_(TypeOf(planned.out), p.outputs, p.rows, p.out_stride),
        integers_(p.in == DType::kI8),
        beta_(planned.accumulates ? 1.0f : 0.0f) {
    CheckBlas(
        GetBlas().MatmulDescCreate(&product_, integers_ ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                                   integers_ ? CUDA_R_32I : CUDA_R_32F),
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
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, planned.x_alignment);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, planned.out_alignment);
    align(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, planned.out_alignment);
    int found = 0;
    const cublasStatus_t status =
        GetBlas().MatmulAlgoGetHeuristic(handle, product_, weight_.get(), x_.get(), out_.get(),
                                         out_.get(), preference, 1, &chosen_, &found);
    GetBlas().MatmulPreferenceDestroy(preference);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return;
    CheckBlas(status, "choosing an algorithm");
    exists_ = found > 0;
  }
  ~Plan() { GetBlas().MatmulDescDestroy(product_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // Whether cuBLASLt has an algorithm for it.
  bool exists() const { return exists_; }

  void Run(cublasLtHandle_t handle, const void* weight, const void* x, void* out) const {
    const float one = 1;
    const int32_t whole_one = 1;  // factors are of the type of the sums
    const int32_t whole_zero = 0;
    const void* const alpha = integers_ ? static_cast<const void*>(&whole_one) : &one;
    const void* const beta = integers_ ? static_cast<const void*>(&whole_zero) : &beta_;
    CheckBlas(GetBlas().Matmul(handle, product_, alpha, weight, weight_.get(), x, x_.get(), beta,
                               out, out_.get(), out, out_.get(), &chosen_.algo,
                               Scratch(kWorkspace, kWorkspaceBytes), kWorkspaceBytes, Stream()),
              "multiplying matrices");
  }

 private:
  Layout weight_, x_, out_;
  bool integers_;
  bool exists_ = false;
  float beta_;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatmulHeuristicResult_t chosen_{};
};

cublasLtHandle_t Handle() {
  static const cublasLtHandle_t handle = [] {
    cublasLtHandle_t made = nullptr;
    CheckBlas(GetBlas().Create(&made), "starting cuBLASLt");
    return made;
  }();
  return handle;
}

// Plans are made once a shape, type and alignment.
const Plan& PlanFor(Product product, const void* x, const void* out, DType type, bool accumulates) {
  static std::map<Planned, Plan> plans;
  if (product.out_stride == 0) product.out_stride = product.outputs;
  const Planned planned = {
      product, type, accumulates,
      AlignmentOf(x, product.stride * static_cast<int64_t>(SizeOf(product.in))),
      AlignmentOf(out, product.out_stride * static_cast<int64_t>(SizeOf(type)))};
  return plans.try_emplace(planned, Handle(), planned).first->second;
}

void Run(const Product& product, const void* weight, const void* x, void* out, DType type,
         bool accumulates) {
  const Plan& plan = PlanFor(product, x, out, type, accumulates);
  Require(plan.exists(), ErrorKind::kDevice, "cuBLASLt has no product of {} x {} x {}",
          product.rows, product.outputs, product.inputs);
  plan.Run(Handle(), weight, x, out);
}

// multiply(out, accumulates) writes the product as numbers, or adds it to what they are.
template <class MultiplyInto>
void Finish(const Product& product, const Epilogue& epilogue, const MultiplyInto& multiply) {
  const bool plain = epilogue.bias.absent() && epilogue.activation == Activation::kNone;
  const bool in_place = epilogue.residual.data == epilogue.out.data;
  // cuBLASLt writes float32 from either type, and bfloat16 from bfloat16 alone.
  const bool direct = plain && (epilogue.residual.absent() || in_place) &&
                      (!epilogue.out.bf16 || product.in == DType::kBF16);
  if (direct) return multiply(epilogue.out, in_place);
  const int64_t count = product.rows * product.outputs;
  EpilogueElement body;
  body.product.data = Scratch(kProduct, static_cast<size_t>(count) * sizeof(float));
  body.bias = epilogue.bias;
  body.residual = epilogue.residual;
  body.out = epilogue.out;
  body.width = product.outputs;
  body.activation = epilogue.activation;
  multiply(body.product, false);
  ForEach(count, body);
}

}  // namespace

void Multiply(const Product& product, const void* weight, const void* x, float* out) {
  Run(product, weight, x, out, DType::kF32, false);
}

void MultiplyIntegers(const Product& product, const void* weight, const void* x, int32_t* out) {
  Run(product, weight, x, out, DType::kI32, false);
}

bool HasFloat8(const Product& product) {
  static const bool multiplies = [] {
    int major = 0;
    int minor = 0;
    Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "asking the GPU");
    Check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "asking the GPU");
    return MultipliesFloat8(major, minor);
  }();
  return multiplies && PlanFor(product, nullptr, nullptr, DType::kF32, false).exists();
}

void MultiplyFloat8(const Product& product, const void* weight, const void* x, float* out) {
  Run(product, weight, x, out, DType::kF32, false);
}

void MultiplyAndFinish(const Product& product, const void* weight, const void* x,
                       const Epilogue& epilogue) {
  Finish(product, epilogue, [&](const Numbers& out, bool accumulates) {
    Run(product, weight, x, out.data, out.type(), accumulates);
  });
}

void MultiplyAndFinish(const Product& product, int64_t most,
                       const std::function<const void*(int64_t, int64_t)>& weights, const void* x,
                       const Epilogue& epilogue) {
  Finish(product, epilogue, [&](const Numbers& out, bool accumulates) {
    ForEachTile(product, most, [&](const Product& part, int64_t first) {
      Run(part, weights(first, part.outputs), x, out.From(first).data, out.type(), accumulates);
    });
  });
}

}  // namespace gesso::cuda
