#include "kernels/cuda/scan.h"

#include "kernels/cuda/device/lanes.cuh"
#include "kernels/cuda/device/scan.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

constexpr int64_t kMostStates = 8 * WarpLanes::kCount;

std::optional<std::string_view> WhyNotDirection(const ScanDirection& in) {
  if (in.u.empty()) return std::nullopt;
  if (in.a.shape[1] > kMostStates) return "more than 256 states";
  return WhyNotReachable(
      {in.u, in.delta, in.a, in.b, in.c, in.d, in.delta_bias, in.initial_state, in.final_state});
}

// Calls launch<kShare>() with the fewest states a lane that suffice.
template <class Launch>
void WithShare(int64_t states, const Launch& launch) {
  const int64_t share = (states + WarpLanes::kCount - 1) / WarpLanes::kCount;
  if (share <= 1) return launch.template operator()<1>();
  if (share <= 2) return launch.template operator()<2>();
  if (share <= 4) return launch.template operator()<4>();
  launch.template operator()<8>();
}

void LaunchDirection(const SelectiveScanArgs& args, bool backward) {
  const ScanDirection& in = backward ? args.backward : args.forward;
  if (in.u.empty()) return;
  const int64_t rows = in.u.shape[0] * in.u.shape[2];
  WithShare(in.a.shape[1], [&]<int kShare>() {
    ForEachRow<WarpLanes>(rows, SelectiveScanRow<kShare>(args, backward));
  });
}

}  // namespace

std::optional<std::string_view> WhyNotSelectiveScan(const SelectiveScanArgs& args) {
  if (const auto reason = WhyNotDirection(args.forward)) return reason;
  if (const auto reason = WhyNotDirection(args.backward)) return reason;
  const bool both = !args.forward.u.empty() && !args.backward.u.empty();
  // The sum of both directions must not be rounded before the gate.
  if (both && args.out.dtype != DType::kF32) return "both directions into bfloat16";
  return WhyNotReachable({args.z, args.out});
}

void SelectiveScan(Context&, const SelectiveScanArgs& args) {
  LaunchDirection(args, false);
  LaunchDirection(args, true);
}

std::optional<std::string_view> WhyNotSsd(const SsdArgs& args) {
  if (args.b.shape[3] > kMostStates) return "more than 256 states";
  return WhyNotReachable({args.x, args.dt, args.a, args.b, args.c, args.d, args.dt_bias,
                          args.initial_state, args.final_state, args.out});
}

void Ssd(Context&, const SsdArgs& args) {
  const Shape& s = args.x.shape;
  WithShare(args.b.shape[3],
            [&]<int kShare>() { ForEachRow<WarpLanes>(s[0] * s[2] * s[3], SsdRow<kShare>(args)); });
}

std::optional<std::string_view> WhyNotCausalConv1d(const CausalConv1dArgs& args) {
  return WhyNotReachable(
      {args.x, args.weight, args.bias, args.initial_state, args.final_state, args.out});
}

void CausalConv1d(Context&, const CausalConv1dArgs& args) {
  const Shape& s = args.x.shape;
  ForEach(args.out.numel(), CausalConvElement(args));
  if (!args.final_state.empty()) ForEach(s[0] * s[2], CausalConvState(args));
}

}  // namespace gesso::cuda
