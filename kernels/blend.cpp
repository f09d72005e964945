#include "kernels/blend.h"

#include "kernels/core/check.h"
#include "kernels/cuda/picture.h"
#include "kernels/ref/blend.h"

namespace gesso {

namespace {

OpCost CostOf(const FadeInArgs& args) {
  const Shape& s = args.x.shape;
  const int64_t fading = s[0] * s[1] * (s[2] * s[3] - (s[2] - args.rows) * (s[3] - args.columns));
  return {3 * static_cast<double>(fading),
          static_cast<double>(args.x.bytes() + args.out.bytes()) + 4 * static_cast<double>(fading)};
}

OpCost CostOfHold(const HoldArgs& args) {
  const auto bytes = static_cast<double>(args.known.bytes() + args.out.bytes());
  return {0, bytes + static_cast<double>(args.amount.bytes())};
}

}  // namespace

void FadeIn(Context& ctx, const FadeInArgs& args) {
  constexpr std::string_view kOp = "fade_in";
  CheckDType(kOp, "x", args.x, DType::kF32);
  CheckDType(kOp, "out", args.out, DType::kF32);
  CheckRank(kOp, "x", args.x, 4);
  CheckShape(kOp, "out", args.out, args.x.shape);
  CheckRows(kOp, "x", args.x);
  CheckRows(kOp, "out", args.out);
  Require(args.rows >= 0 && args.rows <= args.x.shape[2] && args.columns >= 0 &&
              args.columns <= args.x.shape[3],
          ErrorKind::kShape, "{}: {} rows and {} columns are not in x {}", kOp, args.rows,
          args.columns, args.x.shape);
  if (args.x.numel() == 0) return;
  FadeInTable().Run(ctx, args);
}

const OpTable<FadeInArgs>& FadeInTable() {
  // Three channels of pixels once a picture: the reference is all that a CPU needs.
  static const OpTable<FadeInArgs> kTable("fade_in", CostOf,
                                          {
                                              GESSO_CUDA_OP(cuda::WhyNotFadeIn, cuda::FadeIn),
                                              {"ref", Device::kCpu, AcceptsAll, ref::FadeIn},
                                          });
  return kTable;
}

void Hold(Context& ctx, const HoldArgs& args) {
  constexpr std::string_view kOp = "hold";
  CheckRank(kOp, "out", args.out, 4);
  const Shape& s = args.out.shape;
  const auto check = [&](std::string_view name, ConstView value, const Shape& shape) {
    CheckDType(kOp, name, value, DType::kF32);
    CheckShape(kOp, name, value, shape);
    CheckContiguous(kOp, name, value);
  };
  check("out", args.out, s);
  check("known", args.known, {1, s[1], s[2], s[3]});
  check("amount", args.amount, {s[2], s[3]});
  if (args.out.numel() == 0) return;
  HoldTable().Run(ctx, args);
}

const OpTable<HoldArgs>& HoldTable() {
  // A pass over three channels of pixels: memory decides, not arithmetic.
  static const OpTable<HoldArgs> kTable("hold", CostOfHold,
                                        {
                                            GESSO_CUDA_OP(cuda::WhyNotHold, cuda::Hold),
                                            {"ref", Device::kCpu, AcceptsAll, ref::Hold},
                                        });
  return kTable;
}

}  // namespace gesso
