#include "kernels/cuda/pointwise.h"

#include "kernels/cuda/device/embedding.cuh"
#include "kernels/cuda/device/noise.cuh"
#include "kernels/cuda/device/pointwise.cuh"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotLinearCombination(const LinearCombinationArgs& args) {
  for (const Term& term : args.terms) {
    if (const auto reason = WhyNotReachable({term.x})) return reason;
  }
  return WhyNotReachable({args.out, args.also});
}

void LinearCombination(Context&, const LinearCombinationArgs& args) {
  if (args.noise.seeds.empty()) {
    return ForEachVector(args.out.numel(), LinearCombinationElement(args));
  }
  for (int64_t b = 0; b < args.out.shape[0]; b += NoisyCombinationPair::kMostPictures) {
    const NoisyCombinationPair body(args, b);
    ForEach(body.Pairs(), body);
  }
}

std::optional<std::string_view> WhyNotGatedAdd(const GatedAddArgs& args) {
  return WhyNotReachable({args.residual, args.x, args.gate, args.out});
}

void GatedAdd(Context&, const GatedAddArgs& args) {
  ForEachVector(args.out.numel(), GatedAddElement(args));
}

std::optional<std::string_view> WhyNotGlu(const GluArgs& args) {
  return WhyNotReachable({args.value, args.gate, args.out});
}

void Glu(Context&, const GluArgs& args) { ForEachVector(args.out.numel(), GluElement(args)); }

std::optional<std::string_view> WhyNotActivate(const ActivateArgs& args) {
  return WhyNotReachable({args.x, args.out});
}

void Activate(Context&, const ActivateArgs& args) {
  ForEachVector(args.out.numel(), GluElement(args));
}

std::optional<std::string_view> WhyNotSignBits(const SignBitsArgs& args) {
  return WhyNotReachable({args.x, args.bits});
}

void SignBits(Context&, const SignBitsArgs& args) {
  ForEach(args.bits.numel(), SignBitElement(args));
}

std::optional<std::string_view> WhyNotBitCodes(const BitCodesArgs& args) {
  return WhyNotReachable({args.bits, args.codes});
}

void BitCodes(Context&, const BitCodesArgs& args) {
  ForEach(args.codes.numel(), BitCodeElement(args));
}

std::optional<std::string_view> WhyNotFourierFeatures(const FourierFeaturesArgs& args) {
  return WhyNotReachable({args.u, args.weight, args.out});
}

void FourierFeatures(Context&, const FourierFeaturesArgs& args) {
  ForEach(args.out.numel(), FourierFeatureElement(args));
}

std::optional<std::string_view> WhyNotMaskedMean(const MaskedMeanArgs& args) {
  return WhyNotReachable({args.x, args.mask, args.out});
}

void MaskedMean(Context&, const MaskedMeanArgs& args) {
  ForEach(args.out.numel(), MaskedMeanElement(args));
}

}  // namespace gesso::cuda
