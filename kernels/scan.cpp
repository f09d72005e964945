#include "kernels/scan.h"

#include "kernels/core/check.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scan.h"
#include "kernels/cuda/scan.h"
#include "kernels/ref/scan.h"

namespace gesso {

namespace {

double BytesOf(ConstView view) { return view.empty() ? 0 : static_cast<double>(view.bytes()); }

// An exp counts as 8 multiply-adds, the polynomial and the reduction of its argument.
constexpr double kExpFlops = 16;

// Optional float32 parameters or state of exactly this shape.
void CheckOptional(std::string_view op, std::string_view name, ConstView value,
                   const Shape& shape) {
  if (value.empty()) return;
  CheckDType(op, name, value, DType::kF32);
  CheckShape(op, name, value, shape);
  CheckContiguous(op, name, value);
}

void CheckTokens(std::string_view op, std::string_view name, ConstView x, const Shape& shape) {
  CheckFloat(op, name, x);
  CheckShape(op, name, x, shape);
  CheckRows(op, name, x);
}

// b and c: [B, L, G, N], where G divides the `channels` that share out the groups.
void CheckGroups(std::string_view op, ConstView b, ConstView c, const Shape& tokens) {
  CheckFloat(op, "b", b);
  CheckRank(op, "b", b, 4);
  CheckRows(op, "b", b);
  const int64_t groups = b.shape[2];
  Require(b.shape[0] == tokens[0] && b.shape[1] == tokens[1] && groups > 0 &&
              tokens[2] % groups == 0 && b.shape[3] > 0,
          ErrorKind::kShape, "{}: b must be [{}, {}, a divisor of {}, states], got {}", op,
          tokens[0], tokens[1], tokens[2], b.shape);
  CheckTokens(op, "c", c, b.shape);
}

void CheckOut(std::string_view op, ConstView out, const Shape& shape) {
  Require(shape.numel() > 0, ErrorKind::kShape, "{}: there is no token in {}", op, shape);
  CheckTokens(op, "out", out, shape);
  CheckContiguous(op, "out", out);
}

void CheckDirection(const ScanDirection& in, const Shape& shape) {
  constexpr std::string_view kOp = "selective_scan";
  if (in.u.empty()) return;
  CheckTokens(kOp, "u", in.u, shape);
  CheckTokens(kOp, "delta", in.delta, shape);
  CheckGroups(kOp, in.b, in.c, shape);
  const int64_t states = in.b.shape[3];
  Require(!in.a.empty(), ErrorKind::kShape, "{}: a is missing", kOp);
  CheckOptional(kOp, "a", in.a, {shape[2], states});
  CheckOptional(kOp, "d", in.d, {shape[2]});
  CheckOptional(kOp, "delta_bias", in.delta_bias, {shape[2]});
  CheckOptional(kOp, "initial_state", in.initial_state, {shape[0], shape[2], states});
  CheckOptional(kOp, "final_state", in.final_state, {shape[0], shape[2], states});
}

OpCost CostOfDirection(const ScanDirection& in) {
  if (in.u.empty()) return {};
  const double elements = static_cast<double>(in.u.numel());
  const double states = static_cast<double>(in.a.shape[1]);
  return {elements * (states * (kExpFlops + 6) + 2 * kExpFlops + 12),
          BytesOf(in.u) + BytesOf(in.delta) + BytesOf(in.a) + BytesOf(in.b) + BytesOf(in.c) +
              BytesOf(in.initial_state) + BytesOf(in.final_state)};
}

OpCost CostOfSelectiveScan(const SelectiveScanArgs& args) {
  const OpCost forward = CostOfDirection(args.forward);
  const OpCost backward = CostOfDirection(args.backward);
  const double gate = args.z.empty() ? 0 : static_cast<double>(args.z.numel()) * (kExpFlops + 4);
  return {forward.flops + backward.flops + gate,
          forward.bytes + backward.bytes + BytesOf(args.z) + BytesOf(args.out)};
}

OpCost CostOfSsd(const SsdArgs& args) {
  const double elements = static_cast<double>(args.x.numel());
  const double states = static_cast<double>(args.b.shape[3]);
  return {elements * (4 * states + 4) + static_cast<double>(args.dt.numel()) * 3 * kExpFlops,
          BytesOf(args.x) + BytesOf(args.dt) + BytesOf(args.b) + BytesOf(args.c) +
              BytesOf(args.initial_state) + BytesOf(args.final_state) + BytesOf(args.out)};
}

}  // namespace

void SelectiveScan(Context& ctx, const SelectiveScanArgs& args) {
  constexpr std::string_view kOp = "selective_scan";
  Require(!args.forward.u.empty() || !args.backward.u.empty(), ErrorKind::kShape,
          "{}: u is missing", kOp);
  const Shape& shape = args.forward.u.empty() ? args.backward.u.shape : args.forward.u.shape;
  Require(shape.rank() == 3, ErrorKind::kShape, "{}: u must be [B, L, D], got {}", kOp, shape);
  CheckOut(kOp, args.out, shape);
  CheckDirection(args.forward, shape);
  CheckDirection(args.backward, shape);
  Require(args.forward.u.empty() || args.backward.u.empty() ||
              args.forward.b.shape[2] == args.backward.b.shape[2],
          ErrorKind::kUnsupported, "{}: both directions must have the same number of groups", kOp);
  if (!args.z.empty()) CheckTokens(kOp, "z", args.z, shape);
  SelectiveScanTable().Run(ctx, args);
}

void Ssd(Context& ctx, const SsdArgs& args) {
  constexpr std::string_view kOp = "ssd";
  CheckFloat(kOp, "x", args.x);
  CheckRank(kOp, "x", args.x, 4);
  CheckRows(kOp, "x", args.x);
  const Shape& x = args.x.shape;
  CheckOut(kOp, args.out, x);
  CheckTokens(kOp, "dt", args.dt, {x[0], x[1], x[2]});
  CheckGroups(kOp, args.b, args.c, x);
  CheckOptional(kOp, "a", args.a, {x[2]});
  CheckOptional(kOp, "d", args.d, args.d.shape.rank() == 2 ? Shape{x[2], x[3]} : Shape{x[2]});
  CheckOptional(kOp, "dt_bias", args.dt_bias, {x[2]});
  const Shape state = {x[0], x[2], x[3], args.b.shape[3]};
  CheckOptional(kOp, "initial_state", args.initial_state, state);
  CheckOptional(kOp, "final_state", args.final_state, state);
  SsdTable().Run(ctx, args);
}

const OpTable<SelectiveScanArgs>& SelectiveScanTable() {
  static const OpTable<SelectiveScanArgs> kTable(
      "selective_scan", CostOfSelectiveScan,
      {
          {"highway", Device::kCpu, cpu::HasVectors, cpu::SelectiveScan},
          GESSO_CUDA_OP(cuda::WhyNotSelectiveScan, cuda::SelectiveScan),
          {"ref", Device::kCpu, AcceptsAll, ref::SelectiveScan},
      });
  return kTable;
}

const OpTable<SsdArgs>& SsdTable() {
  static const OpTable<SsdArgs> kTable("ssd", CostOfSsd,
                                       {
                                           {"highway", Device::kCpu, cpu::HasVectors, cpu::Ssd},
                                           GESSO_CUDA_OP(cuda::WhyNotSsd, cuda::Ssd),
                                           {"ref", Device::kCpu, AcceptsAll, ref::Ssd},
                                       });
  return kTable;
}

}  // namespace gesso
