// What all families ask of a request: that its prompt or class is one the model can show, the
// encoded prompts, and that the pictures are pictures.
#pragma once

#include "models/text/prompt_encoder.h"
#include "pipelines/request.h"

namespace gesso {

// Pictures made together: more gain little speed, and an interruption loses them all.
constexpr int64_t kMaxTogether = 8;

// Throws kUsage for a prompt or a class that the model does not take, and for a missing prompt.
// `classes` may be 0.
void CheckCondition(const Request& request, bool takes_text, int64_t classes);

// Row 0 is the negative prompt, row 1 the prompt. Warns where one is longer than the encoder reads.
text::EncodedPrompts EncodePrompts(const text::PromptEncoder& encoder, const Request& request);

// [2] i32: no class, and the request's class (none where it has none).
Tensor ClassLabels(const Request& request, int64_t classes);

// Throws kFormat if a value of `pictures` (f32) is not finite.
void RequireFinite(ConstView pictures, const Request& request);

}  // namespace gesso
