// A picture of which a part is painted anew, from the request to what a model sees of it and back.
// The order is the same for every model: invert, canvas (outpainting), grow, feather, crop,
// downscale, masked content; the model, with the threshold of its method; paste back.
#pragma once

#include "pipelines/mask/crop.h"
#include "pipelines/request.h"

namespace gesso {

struct EditedPicture {
  Image picture;  // the whole, on its canvas; RGBA if its file is, whatever the model makes
  Image mask;     // of its size, grown and feathered: 0 keeps, 255 paints, between them soft
  Rect place;     // of what the model paints, in the picture
  Image input;    // it, before white, at the model's size, with the masked content
  Image amount;   // and its mask
};

// Whether the request paints a part of a picture anew.
bool IsEdit(const Request& request);

// What ends a message that refuses the size of a picture: how to paint a part of it all the same,
// or nothing where the request is for no part or does so already.
std::string_view SizeAdvice(const Request& request);

// Where such a request has no size and is for the whole picture, that of its canvas. Throws as
// ReadImageSize.
void FitToEditedPicture(Request& request);

// Throws kUsage for settings of painting a part that do not go together, as ReadImageSize for the
// mask, and fills in defaults. A request that is none must not have any.
void CompleteEdit(Request& request);

// Of a completed request, for a model that makes pictures of width x height. Throws kUsage for a
// whole picture of another size, kFormat for a mask of another size or a black one, and as
// ReadImage.
EditedPicture ReadEditedPicture(const Request& request, int channels);

// The whole picture with what the model made of `input` in its place, by the mask.
Image PasteBack(const EditedPicture& edited, const Image& painted);

}  // namespace gesso
