// Which tensors of a file are the transformer's: published files hold nothing else, those of the
// trainer hold it beside the tokenizer and the optimiser.
//
// Official: FoundationVision/Infinity tools/run_infinity.py:save_slim_model.
#pragma once

#include "models/io/weights.h"

namespace gesso::infinity {

// The transformer's tensors under their official names, without the biases of keys, which are
// zero by construction. Throws kFormat where they are not.
Weights TransformerWeights(const Weights& file);

}  // namespace gesso::infinity
