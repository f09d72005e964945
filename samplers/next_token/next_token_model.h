// The contract between samplers of token sequences and the networks that predict them: logits of
// the token that follows each token of a window, over a cache of all earlier ones.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/context.h"

namespace gesso {

class NextTokenModel {
 public:
  virtual ~NextTokenModel() = default;

  virtual int64_t vocab_size() const = 0;
  // Whether Logits gives an unconditional row beside the conditional one, for guidance.
  virtual bool has_unconditional() const = 0;

  // Runs `tokens` [L], the continuation of what the cache holds, and appends them to the cache. Row
  // i of logits [branches, R, V] f32, R <= L, scores what follows the i-th of the last R tokens;
  // branches is 2 (conditional, unconditional) or 1.
  virtual void Logits(Context& ctx, std::span<const int32_t> tokens, View logits) = 0;

  // Takes the last `count` tokens out of the cache again: drafts that were not accepted.
  virtual void Forget(int64_t count) = 0;
};

}  // namespace gesso
