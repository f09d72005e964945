// A picture of which a part is painted anew: what a mask says of pixels and of tokens. The tokens
// of the rest are given to a next-scale model (zero-shot editing of Tian et al. 2024, "Visual
// autoregressive modeling", section 5), and its pixels come back untouched.
//
// Official: FoundationVision/VAR demo_zero_shot_edit.ipynb:replace_embedding.
#pragma once

#include <span>
#include <vector>

#include "models/hooks.h"
#include "pipelines/image.h"
#include "pipelines/request.h"

namespace gesso {

struct EditedPicture {
  Image image;
  Image mask;  // grey, of the same size: 0 keeps, 255 paints, between them soft
};

// Where the request has a mask and no size, that of its picture. Throws as ReadImage.
void FitToEditedPicture(Request& request);

// Of a request that names both. Throws kUsage for a picture that is not width x height, kFormat for
// a mask of another size, and as ReadImage.
EditedPicture ReadEditedPicture(const Request& request, int channels);

// [1, choices of all maps] i32: 1 for tokens that are kept; a token has `units` choices. Of the
// last map those without a painted pixel; of a smaller one those that lie in that area by more than
// half; maps of up to 3 tokens are kept altogether.
Tensor KeptTokens(const Image& mask, std::span<const TokenMap> maps, int64_t units);

// Puts the kept pixels over those of `image`, which has the same size.
void PasteBack(const EditedPicture& edited, Image& image);

}  // namespace gesso
