#include "kernels/gemm.h"

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/gemm_digits.h"
#include "kernels/cpu/gemm_int8.h"
#include "kernels/cpu/low_bit.h"
#include "kernels/cuda/gemm.h"
#include "kernels/ref/gemm.h"

namespace gesso {

namespace {

bool IsActivationType(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }

// Checks what both products share.
void CheckProduct(std::string_view op, ConstView x, const PackedMatrix* weight, ConstView out,
                  int64_t out_cols) {
  CHECK(weight != nullptr && !weight->empty());
  Require(IsActivationType(x.dtype) && IsActivationType(out.dtype), ErrorKind::kUnsupported,
          "{}: x and out must be float32 or bfloat16, got {} and {}", op, NameOf(x.dtype),
          NameOf(out.dtype));
  Require(x.shape.rank() >= 1 && x.shape[-1] == weight->cols(), ErrorKind::kShape,
          "{}: x {} does not fit weights [{}, {}]", op, x.shape, weight->rows(), weight->cols());
  const int64_t rows = x.numel() / weight->cols();
  Require(out.shape.rank() >= 1 && out.shape[-1] == out_cols && out.numel() == rows * out_cols,
          ErrorKind::kShape, "{}: out {} does not fit {} rows of {}", op, out.shape, rows,
          out_cols);
  Require(out.IsContiguous(), ErrorKind::kShape, "{}: out must be contiguous", op);
}

// An implementation takes what it has packed itself, and not what another has.
template <class Args, std::optional<std::string_view> (*kWhyNot)(const PackedMatrix&)>
std::optional<std::string_view> TakesWeights(const Args& args) {
  return kWhyNot(*args.weight);
}

void ShowInput(const Context& ctx, const PackedMatrix& weight, ConstView x) {
  if (ctx.tap != nullptr && !weight.name().empty()) ctx.Show(weight.name(), x);
}

OpCost CostOfLinear(const LinearArgs& args) {
  const double n = static_cast<double>(args.weight->rows());
  const double k = static_cast<double>(args.weight->cols());
  const double m = static_cast<double>(args.out.numel()) / n;
  return {2 * m * n * k,
          static_cast<double>(args.x.bytes() + args.out.bytes()) +
              static_cast<double>(args.weight->bytes()) +
              static_cast<double>(args.bias.empty() ? 0 : args.bias.bytes()) +
              static_cast<double>(args.residual.empty() ? 0 : args.residual.bytes())};
}

OpCost CostOfLinearGlu(const LinearGluArgs& args) {
  const double n = static_cast<double>(args.weight->rows());
  const double k = static_cast<double>(args.weight->cols());
  const double m = static_cast<double>(args.x.numel()) / k;
  return {2 * m * n * k, static_cast<double>(args.x.bytes() + args.out.bytes()) +
                             static_cast<double>(args.weight->bytes())};
}

}  // namespace

DType ActivationDType(Device device, DType dtype) {
  return device == Device::kCpu ? cpu::ActivationDType(dtype) : dtype;
}

PackedMatrix PackMatrix(Device device, ConstView weight, DType dtype, Factors factors) {
  Require(weight.shape.rank() == 2 && weight.numel() > 0, ErrorKind::kShape,
          "weights of a product must be a matrix, got {}", weight.shape);
  Require(weight.IsContiguous(), ErrorKind::kShape, "weights of a product must be contiguous");
  Require(IsActivationType(dtype), ErrorKind::kUnsupported, "products in {} are not supported",
          NameOf(dtype));
  switch (device) {
    case Device::kMeta:
      return PackedMatrix(nullptr, weight.shape[0], weight.shape[1], dtype);
#ifdef GESSO_HAS_CUDA
    case Device::kCuda:
      return cuda::PackMatrix(weight, dtype);
#endif
    default:
      return cpu::PackMatrix(weight, dtype, factors);
  }
}

void CheckArgs(const LinearArgs& args) {
  CheckProduct("linear", args.x, args.weight, args.out, args.weight->rows());
  const bool rows_contiguous =
      args.x.shape.rank() == 2 ? args.x.strides[1] == 1 && args.x.strides[0] >= args.weight->cols()
                               : args.x.IsContiguous();
  Require(rows_contiguous, ErrorKind::kShape, "linear: the rows of x must be contiguous");
  if (!args.bias.empty()) {
    Require(args.bias.dtype == DType::kF32 && args.bias.numel() == args.weight->rows() &&
                args.bias.IsContiguous(),
            ErrorKind::kShape, "linear: bias must be {} contiguous float32 values, got {} {}",
            args.weight->rows(), args.bias.shape, NameOf(args.bias.dtype));
  }
  if (!args.residual.empty()) {
    Require(args.residual.dtype == args.out.dtype && args.residual.numel() == args.out.numel() &&
                args.residual.IsContiguous(),
            ErrorKind::kShape, "linear: residual {} {} must be like out {} {}", args.residual.shape,
            NameOf(args.residual.dtype), args.out.shape, NameOf(args.out.dtype));
  }
}

void CheckArgs(const LinearGluArgs& args) {
  Require(args.weight->rows() % 2 == 0, ErrorKind::kShape,
          "linear_glu: {} rows of weights are not two halves", args.weight->rows());
  CheckProduct("linear_glu", args.x, args.weight, args.out, args.weight->rows() / 2);
  Require(args.x.IsContiguous(), ErrorKind::kShape, "linear_glu: x must be contiguous");
}

void Linear(Context& ctx, const LinearArgs& args) {
  CheckArgs(args);
  if (args.x.numel() == 0) return;
  ShowInput(ctx, *args.weight, args.x);
  LinearTable().Run(ctx, args);
}

void LinearGlu(Context& ctx, const LinearGluArgs& args) {
  CheckArgs(args);
  if (args.x.numel() == 0) return;
  ShowInput(ctx, *args.weight, args.x);
  LinearGluTable().Run(ctx, args);
}

const OpTable<LinearArgs>& LinearTable() {
  static const OpTable<LinearArgs> kTable(
      "linear", CostOfLinear,
      {
          {"highway", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotPanels>, cpu::Linear},
          {cpu::kDigitsName, Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotDigits>,
           cpu::LinearDigits},
          {"amx", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotAmx>, cpu::LinearAmx},
          {"avx512_bf16", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotAvx512BF16>,
           cpu::LinearAvx512BF16},
          {"codes", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotCodes>, cpu::LinearCodes},
          {"codes_amx", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotCodesAmx>,
           cpu::LinearCodesAmx},
          {"codes_avx512_bf16", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotCodesAvx512BF16>,
           cpu::LinearCodesAvx512BF16},
          {"int8_amx", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotInt8Amx>,
           cpu::LinearInt8Amx},
          {"int8_vnni", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotInt8Vnni>,
           cpu::LinearInt8Vnni},
          {"int8_highway", Device::kCpu, TakesWeights<LinearArgs, cpu::WhyNotInt8>,
           cpu::LinearInt8},
          GESSO_CUDA_OP(cuda::WhyNotLinear, cuda::Linear),
          {"ref", Device::kCpu, AcceptsAll, ref::Linear},
      });
  return kTable;
}

const OpTable<LinearGluArgs>& LinearGluTable() {
  static const OpTable<LinearGluArgs> kTable(
      "linear_glu", CostOfLinearGlu,
      {
          {"highway", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotPanels>, cpu::LinearGlu},
          {cpu::kDigitsName, Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotDigits>,
           cpu::LinearGluDigits},
          {"amx", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotAmx>, cpu::LinearGluAmx},
          {"avx512_bf16", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotAvx512BF16>,
           cpu::LinearGluAvx512BF16},
          {"codes", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotCodes>,
           cpu::LinearGluCodes},
          {"codes_amx", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotCodesAmx>,
           cpu::LinearGluCodesAmx},
          {"codes_avx512_bf16", Device::kCpu,
           TakesWeights<LinearGluArgs, cpu::WhyNotCodesAvx512BF16>, cpu::LinearGluCodesAvx512BF16},
          {"int8_amx", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotInt8Amx>,
           cpu::LinearGluInt8Amx},
          {"int8_vnni", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotInt8Vnni>,
           cpu::LinearGluInt8Vnni},
          {"int8_highway", Device::kCpu, TakesWeights<LinearGluArgs, cpu::WhyNotInt8>,
           cpu::LinearGluInt8},
          GESSO_CUDA_OP(cuda::WhyNotLinearGlu, cuda::LinearGlu),
          {"ref", Device::kCpu, AcceptsAll, ref::LinearGlu},
      });
  return kTable;
}

}  // namespace gesso
