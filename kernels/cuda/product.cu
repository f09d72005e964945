#include "kernels/cuda/product.h"

#include <map>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/code_layout.h"
#include "kernels/cuda/product_sum.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA advises for Hopper
static_assert(kHalves < kScratchSlots);

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

// As cuBLASLt is asked for it.
struct Planned {
  Product product;
  DType out;
  bool has_bias, gelu;
  uint32_t weight_alignment, x_alignment, out_alignment, added_alignment;  // bytes, rows' too

  auto operator<=>(const Planned&) const = default;
};

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

void Describe(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t what,
              const auto& value) {
  CheckBlas(GetBlas().MatmulDescSetAttribute(product, what, &value, sizeof(value)),
            "describing a product");
}

// A product of one shape, with the algorithm that cuBLASLt's heuristic chose for it once.
class Plan {
 public:
  Plan(cublasLtHandle_t handle, const Planned& planned, const Sum& sum)
      : Plan(handle, planned.product, planned, sum) {}
  Plan(cublasLtHandle_t handle, const Product& p, const Planned& planned, const Sum& sum)
      : weight_(TypeOf(p.in), p.weight_lies ? p.outputs : p.inputs,
                p.weight_lies ? p.inputs : p.outputs, p.weight_stride),
        x_(TypeOf(p.in), p.inputs, p.rows, p.stride),
        out_(TypeOf(planned.out), p.outputs, p.rows, p.out_stride),
        integers_(p.in == DType::kI8) {
    CheckBlas(
        GetBlas().MatmulDescCreate(&product_, integers_ ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                                   integers_ ? CUDA_R_32I : CUDA_R_32F),
        "describing a product");
    Describe(product_, CUBLASLT_MATMUL_DESC_TRANSA, p.weight_lies ? CUBLAS_OP_N : CUBLAS_OP_T);
    Describe(product_, CUBLASLT_MATMUL_DESC_EPILOGUE, EpilogueOf(planned));
    if (planned.has_bias) {
      Describe(product_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOf(planned.out));
      SetBias(sum);
    }
    Choose(handle, planned);
  }
  ~Plan() { GetBlas().MatmulDescDestroy(product_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // Whether cuBLASLt has an algorithm for it.
  bool exists() const { return exists_; }

  void Run(cublasLtHandle_t handle, const void* weight, const void* x, const Sum& sum) const {
    if (!sum.bias.absent()) SetBias(sum);
    const float one = 1;
    const float zero = 0;
    const int32_t whole_one = 1;  // factors are of the type of the sums
    const int32_t whole_zero = 0;
    const void* const alpha = integers_ ? static_cast<const void*>(&whole_one) : &one;
    const void* const none = integers_ ? static_cast<const void*>(&whole_zero) : &zero;
    const void* const added = sum.added.absent() ? sum.out.data : sum.added.data;
    CheckBlas(GetBlas().Matmul(handle, product_, alpha, weight, weight_.get(), x, x_.get(),
                               sum.added.absent() ? none : alpha, added, out_.get(), sum.out.data,
                               out_.get(), &chosen_.algo, Scratch(kWorkspace, kWorkspaceBytes),
                               kWorkspaceBytes, Stream()),
              "multiplying matrices");
  }

 private:
  static cublasLtEpilogue_t EpilogueOf(const Planned& planned) {
    if (planned.gelu) {
      return planned.has_bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    }
    return planned.has_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
  void SetBias(const Sum& sum) const {
    Describe(product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(sum.bias.data));
  }

  void Choose(cublasLtHandle_t handle, const Planned& planned) {
    cublasLtMatmulPreference_t preference = nullptr;
    CheckBlas(GetBlas().MatmulPreferenceCreate(&preference), "choosing an algorithm");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
      CheckBlas(GetBlas().MatmulPreferenceSetAttribute(preference, which, &value, sizeof(value)),
                "choosing an algorithm");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, planned.weight_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, planned.x_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, planned.added_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, planned.out_alignment);
    int found = 0;
    const cublasStatus_t status =
        GetBlas().MatmulAlgoGetHeuristic(handle, product_, weight_.get(), x_.get(), out_.get(),
                                         out_.get(), preference, 1, &chosen_, &found);
    GetBlas().MatmulPreferenceDestroy(preference);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return;
    CheckBlas(status, "choosing an algorithm");
    exists_ = found > 0;
  }

  Layout weight_, x_, out_;
  bool integers_;
  bool exists_ = false;
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
const Plan& PlanFor(Product product, const void* weight, const void* x, const Sum& sum,
                    DType type) {
  static std::map<Planned, Plan> plans;
  if (product.out_stride == 0) product.out_stride = product.outputs;
  if (product.weight_stride == 0) {
    product.weight_stride = product.weight_lies ? product.outputs : product.inputs;
  }
  const auto in_bytes = static_cast<int64_t>(SizeOf(product.in));
  const int64_t row_bytes = product.out_stride * static_cast<int64_t>(SizeOf(type));
  const uint32_t out_alignment = AlignmentOf(sum.out.data, row_bytes);
  const Planned planned = {
      .product = product,
      .out = type,
      .has_bias = !sum.bias.absent(),
      .gelu = sum.gelu,
      .weight_alignment = AlignmentOf(weight, product.weight_stride * in_bytes),
      .x_alignment = AlignmentOf(x, product.stride * in_bytes),
      .out_alignment = out_alignment,
      .added_alignment =
          sum.added.absent() ? out_alignment : AlignmentOf(sum.added.data, row_bytes)};
  return plans.try_emplace(planned, Handle(), planned, sum).first->second;
}

void RequireProduct(bool has, const Product& product) {
  Require(has, ErrorKind::kDevice, "cuBLASLt has no product of {} x {} x {}", product.rows,
          product.outputs, product.inputs);
}

// Whether cuBLASLt may have such a product: the sum of two is not rounded in between.
bool MayExist(const InputParts& x, const Sum& sum) {
  return x.second == nullptr || (!sum.out.bf16 && !sum.gelu);
}

// False, and nothing done, where it has none.
bool TryRun(const Product& product, const void* weight, const InputParts& x, const Sum& sum,
            DType type) {
  if (!MayExist(x, sum)) return false;
  const Plan& plan = PlanFor(product, weight, x.first, sum, type);
  const Sum both = {.out = sum.out, .added = sum.out};
  const Plan* const more =
      x.second == nullptr ? nullptr : &PlanFor(product, weight, x.second, both, type);
  if (!plan.exists() || (more != nullptr && !more->exists())) return false;
  plan.Run(Handle(), weight, x.first, sum);
  if (more != nullptr) more->Run(Handle(), weight, x.second, both);
  return true;
}

void Run(const Product& product, const void* weight, const InputParts& x, const Sum& sum,
         DType type) {
  RequireProduct(TryRun(product, weight, x, sum, type), product);
}

Sum SumInto(void* out) {
  Sum sum;
  sum.out.data = out;
  return sum;
}

// try_sum(sum) writes a sum, or nothing: then it returns false.
template <class TrySum>
void Finish(const Product& product, const Epilogue& epilogue, const TrySum& try_sum) {
  const std::optional<Sum> whole = SumOf(product.in, epilogue);
  if (whole && try_sum(*whole)) return;
  RequireProduct(product.out_stride == 0 || product.out_stride == product.outputs, product);
  const int64_t count = product.rows * product.outputs;
  EpilogueElement body = ElementOf(epilogue, product.outputs);
  body.product.data = Scratch(kProduct, static_cast<size_t>(count) * sizeof(float));
  RequireProduct(try_sum(SumInto(body.product.data)), product);
  ForEachVector(count, body);
}

}  // namespace

void MultiplyIntegers(const Product& product, const void* weight, const void* x, int32_t* out) {
  Run(product, weight, {x}, SumInto(out), DType::kI32);
}

bool HasFloat8(const Product& product) {
  static const bool multiplies = [] {
    int major = 0;
    int minor = 0;
    Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "asking the GPU");
    Check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "asking the GPU");
    return MultipliesFloat8(major, minor);
  }();
  return multiplies && PlanFor(product, nullptr, nullptr, {}, DType::kF32).exists();
}

void MultiplyFloat8(const Product& product, const void* weight, const void* x, float* out) {
  Run(product, weight, {x}, SumInto(out), DType::kF32);
}

void MultiplyAndFinish(const Product& product, const void* weight, const InputParts& x,
                       const Epilogue& epilogue) {
  Finish(product, epilogue,
         [&](const Sum& sum) { return TryRun(product, weight, x, sum, sum.out.type()); });
}

void MultiplyAndFinish(const Product& product, int64_t most,
                       const std::function<const void*(int64_t, int64_t)>& weights,
                       const InputParts& x, const Epilogue& epilogue) {
  const auto for_each_tile = [&](const Sum& sum, const auto& body) {
    ForEachTile(product, most,
                [&](const Product& part, int64_t first) { body(part, first, sum.From(first)); });
  };
  Finish(product, epilogue, [&](const Sum& sum) {
    bool all = MayExist(x, sum);
    for_each_tile(sum, [&](const Product& part, int64_t, const Sum& of_part) {
      all = all && PlanFor(part, nullptr, x.first, of_part, sum.out.type()).exists();
    });
    if (!all) return false;
    for_each_tile(sum, [&](const Product& part, int64_t first, const Sum& of_part) {
      Run(part, weights(first, part.outputs), x, of_part, sum.out.type());
    });
    return true;
  });
}

}  // namespace gesso::cuda
