#include "kernels/token_pruning.h"

#include "kernels/core/check.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/token_pruning.h"
#include "kernels/cuda/token_pruning.h"
#include "kernels/ref/token_pruning.h"

namespace gesso {

namespace {

OpCost CostOfTokenDistance(const TokenDistanceArgs& args) {
  return {4 * static_cast<double>(args.x.numel()),
          static_cast<double>(2 * args.x.bytes() + args.score.bytes())};
}

OpCost CostOfTopTokens(const TopTokensArgs& args) {
  return {4 * static_cast<double>(args.score.numel()),
          static_cast<double>(args.score.bytes() + args.ids.bytes())};
}

}  // namespace

void TokenDistance(Context& ctx, const TokenDistanceArgs& args) {
  constexpr std::string_view kOp = "token_distance";
  CheckDType(kOp, "x", args.x, DType::kF32);
  CheckDType(kOp, "score", args.score, DType::kF32);
  CheckRank(kOp, "x", args.x, 3);
  CheckShape(kOp, "score", args.score, {args.x.shape[0], args.x.shape[1]});
  CheckContiguous(kOp, "x", args.x);
  CheckContiguous(kOp, "score", args.score);
  if (args.score.numel() == 0) return;
  TokenDistanceTable().Run(ctx, args);
}

void TopTokens(Context& ctx, const TopTokensArgs& args) {
  constexpr std::string_view kOp = "top_tokens";
  CheckDType(kOp, "score", args.score, DType::kF32);
  CheckDType(kOp, "ids", args.ids, DType::kI32);
  CheckRank(kOp, "score", args.score, 2);
  CheckRank(kOp, "ids", args.ids, 2);
  CheckContiguous(kOp, "score", args.score);
  CheckContiguous(kOp, "ids", args.ids);
  Require(args.ids.shape[0] == args.score.shape[0] && args.ids.shape[1] <= args.score.shape[1],
          ErrorKind::kShape, "{}: ids {} do not fit scores {}", kOp, args.ids.shape,
          args.score.shape);
  if (args.ids.numel() == 0) return;
  TopTokensTable().Run(ctx, args);
}

const OpTable<TokenDistanceArgs>& TokenDistanceTable() {
  static const OpTable<TokenDistanceArgs> kTable(
      "token_distance", CostOfTokenDistance,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::TokenDistance},
          GESSO_CUDA_OP(cuda::WhyNotTokenDistance, cuda::TokenDistance),
          {"ref", Device::kCpu, AcceptsAll, ref::TokenDistance},
      });
  return kTable;
}

const OpTable<TopTokensArgs>& TopTokensTable() {
  static const OpTable<TopTokensArgs> kTable(
      "top_tokens", CostOfTopTokens,
      {
          {"select", Device::kCpu, AcceptsAll, cpu::TopTokens},
          GESSO_CUDA_OP(cuda::WhyNotTopTokens, cuda::TopTokens),
          {"ref", Device::kCpu, AcceptsAll, ref::TopTokens},
      });
  return kTable;
}

}  // namespace gesso
