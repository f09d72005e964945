// What a mask says of the tokens of a next-scale model: those of the rest of the picture are given
// to it (zero-shot editing of Tian et al. 2024, "Visual autoregressive modeling", section 5).
//
// Official: FoundationVision/VAR demo_zero_shot_edit.ipynb:replace_embedding.
#pragma once

#include <span>

#include "models/hooks.h"
#include "pipelines/image.h"

namespace gesso {

// [1, choices of all maps] i32: 1 for tokens that are kept; a token has `units` choices. Of the
// last map those without a painted pixel; of a smaller one those that lie in that area by more than
// half; maps of up to 3 tokens are kept altogether.
Tensor KeptTokens(const Image& mask, std::span<const TokenMap> maps, int64_t units);

}  // namespace gesso
