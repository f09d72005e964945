#include "kernels/cuda/scan.h"

#include "kernels/cuda/block_launch.cuh"
#include "kernels/cuda/device/causal_conv.cuh"
#include "kernels/cuda/device/scan.cuh"
#include "kernels/cuda/runtime.h"

namespace gesso::cuda {

namespace {

enum ScanScratch { kStates, kExponents, kPartial };
static_assert(kPartial < kScratchSlots);

constexpr int kScanThreads = kScanWarps * kScanLanes;

float* ScratchFloats(int slot, int64_t count) {
  return static_cast<float*>(Scratch(slot, static_cast<size_t>(count) * sizeof(float)));
}

template <class Body>
void Launch(const Body& body) {
  ForEachBlock<kScanThreads, kScanBlocks>(body, kScanThreads, body.SharedBytes());
}

template <class Terms>
void Scan(const Terms& terms) {
  const ScanShape& shape = terms.shape;
  const ScanChunks chunks = ChooseScanChunks(shape, Limits().multiprocessors);
  ScanCarry carry;
  if (chunks.count > 1) {
    const int64_t ends = shape.pictures * chunks.count * shape.channels;
    carry.states = ScratchFloats(kStates, ends * shape.states);
    carry.exponents = ScratchFloats(kExponents, ends);
    Launch(ScanBlock<Terms, false>{terms, chunks, carry});
    ForEach(shape.pictures * shape.channels * shape.states,
            ScanStartsElement<Terms>{terms, chunks, carry});
  }
  Launch(ScanBlock<Terms, true>{terms, chunks, carry});
}

std::optional<std::string_view> WhyNotStates(int64_t states) {
  if (states > kMostScanStates) return "more than 256 states";
  return std::nullopt;
}

std::optional<std::string_view> WhyNotDirection(const ScanDirection& in) {
  if (in.u.empty()) return std::nullopt;
  if (const auto reason = WhyNotStates(in.a.shape[1])) return reason;
  return WhyNotReachable(
      {in.u, in.delta, in.a, in.b, in.c, in.d, in.delta_bias, in.initial_state, in.final_state});
}

}  // namespace

std::optional<std::string_view> WhyNotSelectiveScan(const SelectiveScanArgs& args) {
  if (const auto reason = WhyNotDirection(args.forward)) return reason;
  if (const auto reason = WhyNotDirection(args.backward)) return reason;
  return WhyNotReachable({args.z, args.out});
}

void SelectiveScan(Context&, const SelectiveScanArgs& args) {
  Numbers partial(args.out);
  const bool both = !args.forward.u.empty() && !args.backward.u.empty();
  if (both && args.out.dtype != DType::kF32) {
    // The sum of both directions must not be rounded before the gate.
    partial.data = ScratchFloats(kPartial, args.out.numel());
    partial.bf16 = false;
  }
  if (!args.forward.u.empty()) Scan(SelectiveTerms(args, false, partial));
  if (!args.backward.u.empty()) Scan(SelectiveTerms(args, true, partial));
}

std::optional<std::string_view> WhyNotSsd(const SsdArgs& args) {
  if (const auto reason = WhyNotStates(args.b.shape[3])) return reason;
  return WhyNotReachable({args.x, args.dt, args.a, args.b, args.c, args.d, args.dt_bias,
                          args.initial_state, args.final_state, args.out});
}

void Ssd(Context&, const SsdArgs& args) { Scan(SsdTerms(args)); }

std::optional<std::string_view> WhyNotCausalConv1d(const CausalConv1dArgs& args) {
  return WhyNotReachable(
      {args.x, args.weight, args.bias, args.initial_state, args.final_state, args.out});
}

void CausalConv1d(Context&, const CausalConv1dArgs& args) {
  const Shape& s = args.x.shape;
  ConvolveCausally(args, [](int64_t count, const auto& body) { ForEach(count, body); });
  if (!args.final_state.empty()) ForEach(s[0] * s[2], CausalConvState(args));
}

}  // namespace gesso::cuda
