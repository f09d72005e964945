// Token layouts on the CPU: whole runs are copied where the layouts allow it.
#pragma once

#include "kernels/token.h"

namespace gesso::cpu {

void SpaceDepth(Context& ctx, const SpaceDepthArgs& args);
void GatherRows(Context& ctx, const GatherRowsArgs& args);
void SelectTokens(Context& ctx, const SelectTokensArgs& args);

}  // namespace gesso::cpu
