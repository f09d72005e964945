// CUDA: patching, rows of a table, parts of the tokens.
#pragma once

#include "kernels/token.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotSpaceDepth(const SpaceDepthArgs& args);
void SpaceDepth(Context& ctx, const SpaceDepthArgs& args);
std::optional<std::string_view> WhyNotGatherRows(const GatherRowsArgs& args);
void GatherRows(Context& ctx, const GatherRowsArgs& args);
std::optional<std::string_view> WhyNotSelectTokens(const SelectTokensArgs& args);
void SelectTokens(Context& ctx, const SelectTokensArgs& args);

}  // namespace gesso::cuda
