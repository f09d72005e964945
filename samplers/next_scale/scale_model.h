// The contract between the next-scale sampling loop and a model: scale by scale, logits for every
// token of the map at once, then the tokens that were chosen. Serves one token out of a codebook
// (VAR) and independent bits (Infinity) alike.
#pragma once

#include <memory>
#include <span>

#include "kernels/core/context.h"

namespace gesso {

// What is chosen at each token: `units` independent choices among `values` each. VAR: one of V
// codes (1, V). Infinity: d bits (d, 2).
struct TokenChoices {
  int64_t units = 1;
  int64_t values = 2;
};

class ScaleModel {
 public:
  virtual ~ScaleModel() = default;

  virtual int64_t pictures() const = 0;             // B
  virtual int64_t scales() const = 0;               // S
  virtual int64_t tokens(int64_t scale) const = 0;  // N of a scale
  virtual TokenChoices choices() const = 0;
  virtual bool Runs(int64_t scale) const = 0;  // false: the scale is skipped, nothing is asked

  // Starts the pictures over: empty caches, nothing committed.
  virtual void Begin(Context& ctx) = 0;

  // Writes logits [B, N * units, values] f32, or [2B, ...] for guidance: the pictures under their
  // condition, then the same without. Both kinds of rows run through the network in any case, as
  // later scales need them; what is asked for is only the head. Scales come in ascending order,
  // each once, Commit of one before Logits of the next.
  virtual void Logits(Context& ctx, int64_t scale, View logits) = 0;

  // Adds the chosen tokens [B, N * units] i32 to the pictures.
  virtual void Commit(Context& ctx, int64_t scale, ConstView tokens) = 0;

  // Adds expected codes under `weights` [B, N * units, values] f32, each sum 1, instead of tokens.
  // Throws kUnsupported where the model has no such thing.
  virtual void CommitMixture(Context& ctx, int64_t scale, ConstView weights) = 0;

  // An independent model in the state of this one, whose picture i is picture pictures[i] here;
  // pictures may repeat.
  virtual std::unique_ptr<ScaleModel> Fork(std::span<const int64_t> pictures) const = 0;
};

}  // namespace gesso
