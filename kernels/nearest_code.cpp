#include "kernels/nearest_code.h"

#include "kernels/core/check.h"
#include "kernels/cpu/nearest_code.h"
#include "kernels/cuda/nearest_code.h"
#include "kernels/ref/nearest_code.h"

namespace gesso {

namespace {

constexpr std::string_view kOp = "nearest_code";

OpCost CostOf(const NearestCodeArgs& args) {
  const auto rows = static_cast<double>(args.z.shape[0]);
  const auto codes = static_cast<double>(args.codebook->codes.rows());
  const auto depth = static_cast<double>(args.codebook->codes.cols());
  return {rows * codes * (2 * depth + 1),
          static_cast<double>(args.z.bytes() + args.tokens.bytes()) + 4 * codes * (depth + 1)};
}

PackedMatrix PackCodes(Device device, ConstView codebook) {
#ifdef GESSO_HAS_CUDA
  if (device == Device::kCuda) return cuda::PackCodes(codebook);
#endif
  return PackMatrix(device, codebook, DType::kF32, Factors::kWhole);
}

}  // namespace

PackedCodebook PackCodebook(Device device, ConstView codebook) {
  CheckRank(kOp, "codebook", codebook, 2);
  CheckDType(kOp, "codebook", codebook, DType::kF32);
  CheckContiguous(kOp, "codebook", codebook);
  const int64_t codes = codebook.shape[0];
  const int64_t depth = codebook.shape[1];
  Require(codes > 0 && depth > 0, ErrorKind::kShape, "{}: empty codebook {}", kOp, codebook.shape);
  PackedCodebook packed{PackCodes(device, codebook), Tensor({codes}, DType::kF32)};
  if (device == Device::kMeta) return packed;
  for (int64_t v = 0; v < codes; ++v) {
    double square = 0;
    for (int64_t d = 0; d < depth; ++d) {
      const auto value = static_cast<double>(codebook.Data<float>()[v * depth + d]);
      square += value * value;
    }
    packed.bias.MutableData<float>()[v] = static_cast<float>(-square / 2);
  }
  return packed;
}

void NearestCode(Context& ctx, const NearestCodeArgs& args) {
  CHECK(args.codebook != nullptr);
  CheckDType(kOp, "z", args.z, DType::kF32);
  CheckRank(kOp, "z", args.z, 2);
  CheckShape(kOp, "z", args.z, {args.z.shape[0], args.codebook->codes.cols()});
  CheckContiguous(kOp, "z", args.z);
  CheckDType(kOp, "tokens", args.tokens, DType::kI32);
  CheckShape(kOp, "tokens", args.tokens, {args.z.shape[0]});
  CheckContiguous(kOp, "tokens", args.tokens);
  if (args.tokens.numel() == 0) return;
  NearestCodeTable().Run(ctx, args);
}

const OpTable<NearestCodeArgs>& NearestCodeTable() {
  static const OpTable<NearestCodeArgs> kTable(
      kOp, CostOf,
      {
          {"gemm", Device::kCpu, cpu::WhyNotNearestCode, cpu::NearestCode},
          GESSO_CUDA_OP(cuda::WhyNotNearestCode, cuda::NearestCode),
          {"ref", Device::kCpu, AcceptsAll, ref::NearestCode},
      });
  return kTable;
}

}  // namespace gesso
