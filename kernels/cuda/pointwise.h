// CUDA: ops in which every element is computed on its own.
#pragma once

#include "kernels/activation.h"
#include "kernels/binary_code.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/pool.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotLinearCombination(const LinearCombinationArgs& args);
void LinearCombination(Context& ctx, const LinearCombinationArgs& args);
std::optional<std::string_view> WhyNotGatedAdd(const GatedAddArgs& args);
void GatedAdd(Context& ctx, const GatedAddArgs& args);
std::optional<std::string_view> WhyNotGlu(const GluArgs& args);
void Glu(Context& ctx, const GluArgs& args);
std::optional<std::string_view> WhyNotActivate(const ActivateArgs& args);
void Activate(Context& ctx, const ActivateArgs& args);
std::optional<std::string_view> WhyNotSignBits(const SignBitsArgs& args);
void SignBits(Context& ctx, const SignBitsArgs& args);
std::optional<std::string_view> WhyNotBitCodes(const BitCodesArgs& args);
void BitCodes(Context& ctx, const BitCodesArgs& args);
std::optional<std::string_view> WhyNotFourierFeatures(const FourierFeaturesArgs& args);
void FourierFeatures(Context& ctx, const FourierFeaturesArgs& args);
std::optional<std::string_view> WhyNotMaskedMean(const MaskedMeanArgs& args);
void MaskedMean(Context& ctx, const MaskedMeanArgs& args);

}  // namespace gesso::cuda
