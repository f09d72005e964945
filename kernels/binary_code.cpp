#include "kernels/binary_code.h"

#include "kernels/core/check.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/ref/binary_code.h"

namespace gesso {

namespace {

OpCost CostOfSignBits(const SignBitsArgs& args) {
  return {0, static_cast<double>(args.x.bytes() + args.bits.bytes())};
}

OpCost CostOfBitCodes(const BitCodesArgs& args) {
  return {0, static_cast<double>(args.bits.bytes() + args.codes.bytes())};
}

}  // namespace

void SignBits(Context& ctx, const SignBitsArgs& args) {
  constexpr std::string_view kOp = "sign_bits";
  CheckDType(kOp, "x", args.x, DType::kF32);
  CheckContiguous(kOp, "x", args.x);
  CheckDType(kOp, "bits", args.bits, DType::kU8);
  CheckShape(kOp, "bits", args.bits, args.x.shape);
  CheckContiguous(kOp, "bits", args.bits);
  if (args.x.numel() == 0) return;
  SignBitsTable().Run(ctx, args);
}

void BitCodes(Context& ctx, const BitCodesArgs& args) {
  constexpr std::string_view kOp = "bit_codes";
  CheckDType(kOp, "bits", args.bits, DType::kU8);
  CheckContiguous(kOp, "bits", args.bits);
  CheckDType(kOp, "codes", args.codes, DType::kF32);
  CheckShape(kOp, "codes", args.codes, args.bits.shape);
  CheckContiguous(kOp, "codes", args.codes);
  if (args.bits.numel() == 0) return;
  BitCodesTable().Run(ctx, args);
}

// Some hundred thousand elements a scale, a dozen times a picture: the reference is all that a CPU
// needs.
const OpTable<SignBitsArgs>& SignBitsTable() {
  static const OpTable<SignBitsArgs> kTable("sign_bits", CostOfSignBits,
                                            {
                                                GESSO_CUDA_OP(cuda::WhyNotSignBits, cuda::SignBits),
                                                {"ref", Device::kCpu, AcceptsAll, ref::SignBits},
                                            });
  return kTable;
}

const OpTable<BitCodesArgs>& BitCodesTable() {
  static const OpTable<BitCodesArgs> kTable("bit_codes", CostOfBitCodes,
                                            {
                                                GESSO_CUDA_OP(cuda::WhyNotBitCodes, cuda::BitCodes),
                                                {"ref", Device::kCpu, AcceptsAll, ref::BitCodes},
                                            });
  return kTable;
}

}  // namespace gesso
