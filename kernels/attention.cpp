#include "kernels/attention.h"

#include "kernels/core/check.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_amx.h"
#include "kernels/cpu/highway.h"
#include "kernels/cuda/attention.h"
#include "kernels/ref/attention.h"

namespace gesso {

namespace {

// What the three kinds share: one element type, contiguous heads, a contiguous result like q.
void CheckHeads(std::string_view op, ConstView q, ConstView k, ConstView v, ConstView out,
                int rank) {
  CheckFloat(op, "q", q);
  CheckDType(op, "k", k, q.dtype);
  CheckDType(op, "v", v, q.dtype);
  CheckDType(op, "out", out, q.dtype);
  CheckRank(op, "q", q, rank);
  CheckRank(op, "k", k, rank);
  CheckShape(op, "v", v, k.shape);
  CheckShape(op, "out", out, q.shape);
  CheckRows(op, "q", q);
  CheckRows(op, "k", k);
  CheckRows(op, "v", v);
  CheckContiguous(op, "out", out);
}

double Bytes(ConstView q, ConstView k, ConstView v, ConstView out) {
  return static_cast<double>(q.bytes() + k.bytes() + v.bytes() + out.bytes());
}

OpCost CostOfAttention(const AttentionArgs& args) {
  double bytes = Bytes(args.q, args.k, args.v, args.out);
  if (!args.bias.empty()) bytes += static_cast<double>(args.bias.bytes());
  if (!args.key_mask.empty()) bytes += static_cast<double>(args.key_mask.bytes());
  return {4 * static_cast<double>(args.q.numel()) * static_cast<double>(args.k.shape[1]), bytes};
}

// Sum over one axis of the squared extents of its windows.
double SquaredWindows(int64_t length, int64_t window, int64_t shift) {
  double sum = 0;
  for (int64_t i = 0; i < cpu::WindowCount(length, window, shift); ++i) {
    const cpu::WindowRange range = cpu::WindowAt(i, length, window, shift);
    sum += static_cast<double>((range.end - range.begin) * (range.end - range.begin));
  }
  return sum;
}

OpCost CostOfWindowAttention(const WindowAttentionArgs& args) {
  const Shape& s = args.q.shape;
  const double pairs =
      SquaredWindows(s[1], args.window, args.shift) * SquaredWindows(s[2], args.window, args.shift);
  return {4 * pairs * static_cast<double>(s[0] * s[3] * s[4]),
          Bytes(args.q, args.k, args.v, args.out)};
}

OpCost CostOfNeighborhoodAttention(const NeighborhoodAttentionArgs& args) {
  const double keys = static_cast<double>(args.kernel_size * args.kernel_size);
  return {4 * static_cast<double>(args.q.numel()) * keys, Bytes(args.q, args.k, args.v, args.out)};
}

}  // namespace

void Attention(Context& ctx, const AttentionArgs& args) {
  CheckHeads("attention", args.q, args.k, args.v, args.out, 4);
  const Shape& s = args.q.shape;
  const int64_t keys = args.k.shape[1];
  CheckShape("attention", "k", args.k, {s[0], keys, s[2], s[3]});
  if (!args.bias.empty()) {
    CheckDType("attention", "bias", args.bias, DType::kF32);
    CheckShape("attention", "bias", args.bias, {s[2], s[1], keys});
    CheckContiguous("attention", "bias", args.bias);
  }
  if (!args.key_mask.empty()) {
    CheckDType("attention", "key_mask", args.key_mask, DType::kI32);
    CheckShape("attention", "key_mask", args.key_mask, {s[0], keys});
    CheckContiguous("attention", "key_mask", args.key_mask);
  }
  if (args.out.numel() == 0) return;
  AttentionTable().Run(ctx, args);
}

void WindowAttention(Context& ctx, const WindowAttentionArgs& args) {
  constexpr std::string_view kOp = "window_attention";
  CheckHeads(kOp, args.q, args.k, args.v, args.out, 5);
  CheckShape(kOp, "k", args.k, args.q.shape);
  Require(args.window >= 1, ErrorKind::kShape, "{}: window {} must be positive", kOp, args.window);
  Require(args.shift >= 0 && args.shift < args.window, ErrorKind::kShape,
          "{}: shift {} must lie in 0..{}", kOp, args.shift, args.window - 1);
  if (args.out.numel() == 0) return;
  WindowAttentionTable().Run(ctx, args);
}

void NeighborhoodAttention(Context& ctx, const NeighborhoodAttentionArgs& args) {
  constexpr std::string_view kOp = "neighborhood_attention";
  CheckHeads(kOp, args.q, args.k, args.v, args.out, 5);
  CheckShape(kOp, "k", args.k, args.q.shape);
  Require(args.kernel_size >= 1 && args.kernel_size % 2 == 1, ErrorKind::kShape,
          "{}: kernel_size {} must be odd and positive", kOp, args.kernel_size);
  if (args.out.numel() == 0) return;
  Require(args.kernel_size <= args.q.shape[1] && args.kernel_size <= args.q.shape[2],
          ErrorKind::kShape, "{}: kernel_size {} exceeds the token grid {} x {}", kOp,
          args.kernel_size, args.q.shape[1], args.q.shape[2]);
  NeighborhoodAttentionTable().Run(ctx, args);
}

const OpTable<AttentionArgs>& AttentionTable() {
  static const OpTable<AttentionArgs> kTable(
      "attention", CostOfAttention,
      {
          {"amx", Device::kCpu, cpu::WhyNotAttentionAmx, cpu::AttentionAmx},
          {"highway", Device::kCpu, cpu::HasVectors, cpu::Attention},
          GESSO_CUDA_OP_NAMED("flash", cuda::WhyNotFlashAttention, cuda::FlashAttention),
          GESSO_CUDA_OP_NAMED("products", cuda::WhyNotProductAttention, cuda::ProductAttention),
          GESSO_CUDA_OP(cuda::WhyNotAttention, cuda::Attention),
          {"ref", Device::kCpu, AcceptsAll, ref::Attention},
      });
  return kTable;
}

const OpTable<WindowAttentionArgs>& WindowAttentionTable() {
  static const OpTable<WindowAttentionArgs> kTable(
      "window_attention", CostOfWindowAttention,
      {
          {"amx", Device::kCpu, cpu::WhyNotWindowAttentionAmx, cpu::WindowAttentionAmx},
          {"highway", Device::kCpu, cpu::HasVectors, cpu::WindowAttention},
          GESSO_CUDA_OP_NAMED("flash", cuda::WhyNotFlashWindowAttention,
                              cuda::FlashWindowAttention),
          GESSO_CUDA_OP(cuda::WhyNotWindowAttention, cuda::WindowAttention),
          {"ref", Device::kCpu, AcceptsAll, ref::WindowAttention},
      });
  return kTable;
}

const OpTable<NeighborhoodAttentionArgs>& NeighborhoodAttentionTable() {
  static const OpTable<NeighborhoodAttentionArgs> kTable(
      "neighborhood_attention", CostOfNeighborhoodAttention,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::NeighborhoodAttention},
          GESSO_CUDA_OP_NAMED("flash", cuda::WhyNotFlashNeighborhoodAttention,
                              cuda::FlashNeighborhoodAttention),
          GESSO_CUDA_OP(cuda::WhyNotNeighborhoodAttention, cuda::NeighborhoodAttention),
          {"ref", Device::kCpu, AcceptsAll, ref::NeighborhoodAttention},
      });
  return kTable;
}

}  // namespace gesso
