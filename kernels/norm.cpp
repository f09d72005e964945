#include "kernels/norm.h"

#include "kernels/core/check.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/norm.h"
#include "kernels/cuda/norm.h"
#include "kernels/ref/norm.h"

namespace gesso {

namespace {

void CheckRowsInAndOut(std::string_view op, ConstView x, ConstView out) {
  CheckFloat(op, "x", x);
  CheckFloat(op, "out", out);
  CheckRank(op, "x", x, 3);
  CheckShape(op, "out", out, x.shape);
  CheckContiguous(op, "x", x);
  CheckContiguous(op, "out", out);
}

// scale and shift: [D], or [B, D] with one row a picture.
void CheckModulation(std::string_view op, std::string_view name, ConstView value, ConstView x) {
  if (value.empty()) return;
  CheckDType(op, name, value, DType::kF32);
  Require(value.strides[static_cast<size_t>(value.shape.rank()) - 1] == 1, ErrorKind::kShape,
          "{}: the rows of {} must be contiguous", op, name);
  const Shape shared{x.shape[2]};
  const Shape each{x.shape[0], x.shape[2]};
  Require(value.shape == shared || value.shape == each, ErrorKind::kShape,
          "{}: {} must be {} or {}, got {}", op, name, shared, each, value.shape);
}

double BytesOf(ConstView view) { return view.empty() ? 0 : static_cast<double>(view.bytes()); }

OpCost CostOfRmsNorm(const RmsNormArgs& args) {
  return {4 * static_cast<double>(args.x.numel()),
          BytesOf(args.x) + BytesOf(args.out) + BytesOf(args.scale) + BytesOf(args.shift)};
}

OpCost CostOfLayerNorm(const LayerNormArgs& args) {
  return {7 * static_cast<double>(args.x.numel()),
          BytesOf(args.x) + BytesOf(args.out) + BytesOf(args.scale) + BytesOf(args.shift)};
}

}  // namespace

void CheckArgs(const RmsNormArgs& args) {
  CheckRowsInAndOut("rms_norm", args.x, args.out);
  CheckModulation("rms_norm", "scale", args.scale, args.x);
  CheckModulation("rms_norm", "shift", args.shift, args.x);
  Require(args.groups > 0 && args.x.shape[2] % args.groups == 0, ErrorKind::kShape,
          "rms_norm: {} features are not {} equal groups", args.x.shape[2], args.groups);
}

void CheckArgs(const LayerNormArgs& args) {
  CheckRowsInAndOut("layer_norm", args.x, args.out);
  CheckModulation("layer_norm", "scale", args.scale, args.x);
  CheckModulation("layer_norm", "shift", args.shift, args.x);
}

void RmsNorm(Context& ctx, const RmsNormArgs& args) {
  CheckArgs(args);
  if (args.x.numel() == 0) return;
  RmsNormTable().Run(ctx, args);
}

void LayerNorm(Context& ctx, const LayerNormArgs& args) {
  CheckArgs(args);
  if (args.x.numel() == 0) return;
  LayerNormTable().Run(ctx, args);
}

const OpTable<RmsNormArgs>& RmsNormTable() {
  static const OpTable<RmsNormArgs> kTable(
      "rms_norm", CostOfRmsNorm,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::RmsNorm},
          GESSO_CUDA_OP(cuda::WhyNotRmsNorm, cuda::RmsNorm),
          {"ref", Device::kCpu, AcceptsAll, ref::RmsNorm},
      });
  return kTable;
}

const OpTable<LayerNormArgs>& LayerNormTable() {
  static const OpTable<LayerNormArgs> kTable(
      "layer_norm", CostOfLayerNorm,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::LayerNorm},
          GESSO_CUDA_OP(cuda::WhyNotLayerNorm, cuda::LayerNorm),
          {"ref", Device::kCpu, AcceptsAll, ref::LayerNorm},
      });
  return kTable;
}

}  // namespace gesso
