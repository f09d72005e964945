// The slow truth of kernels/token.h.
#pragma once

#include "kernels/token.h"

namespace gesso::ref {

void SpaceDepth(Context& ctx, const SpaceDepthArgs& args);
void GatherRows(Context& ctx, const GatherRowsArgs& args);
void SelectTokens(Context& ctx, const SelectTokensArgs& args);

}  // namespace gesso::ref
