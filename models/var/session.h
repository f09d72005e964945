// Pictures being made by VAR, scale by scale: the caches of all layers and what the condition has
// been turned into. Weights stay const; copies of a session go on independently.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/next_scale/states.h"
#include "models/var/model.h"

namespace gesso::var {

// What the R rows of the batch shall show: with guidance the conditional pictures first, then as
// many without condition (class num_classes, or the encoding of an empty prompt).
struct Conditioning {
  ConstView labels = {};  // [R] i32 in 0..num_classes, host memory; class-conditional models
  ConstView text = {};    // [R, L, D] f32, states of a text encoder; text-conditional models
  ConstView mask = {};    // [R, L] i32, with text: 0 = no token
};

class Session {
 public:
  // For `rows` rows. `hooks` may be null.
  Session(std::shared_ptr<const Model> model, int64_t rows, std::unique_ptr<Hooks> hooks = nullptr);

  const Model& model() const { return *model_; }
  int64_t rows() const { return rows_; }
  // Whether Forward is to be called for the scale; one that hooks leave out adds nothing.
  bool Runs(int64_t scale) const { return hooks_ == nullptr || hooks_->RunsScale(scale); }

  // Starts over. Throws kUsage for an input that the model needs and does not get, kShape for one
  // of a wrong shape or a label out of range.
  void Begin(Context& ctx, const Conditioning& conditioning);

  // One scale, in ascending order, each once; Begin first. `input` [P, N, code_width] f32 is the
  // picture so far, resized to the map, of the P pictures that the rows show in turn (row i shows
  // picture i mod P); empty for scale 0. Writes logits [Q, N, V] f32 of the first Q rows, any Q up
  // to R. Throws kUsage out of order. Allocates on the arena only.
  void Forward(Context& ctx, int64_t scale, ConstView input, View logits);

  // Whether its memory stays where it is from picture to picture, and passes are recorded.
  bool stays() const { return states_.stay(); }
  // What the keys and values of all layers take now.
  size_t CacheBytes() const { return states_.KeyBytes(); }

  // A session in the state of this one, whose row i is row rows[i] here; rows may repeat.
  Session Fork(std::span<const int64_t> rows) const;

  // Bytes of arena that Begin(conditioning) and Forward of all scales need, logits of `rows()` rows
  // left out. Ends what was begun.
  size_t ArenaBytes(const Conditioning& conditioning);

 private:
  // A copy without its numbers, for Fork to fill.
  Session(std::shared_ptr<const Model> model, int64_t rows, next_scale::States states);
  void CheckConditioning(const Context& ctx, const Conditioning& conditioning) const;
  void EmbedCondition(Context& ctx, const Conditioning& conditioning);
  void Embed(Context& ctx, int64_t scale, ConstView input, View x) const;
  void Compute(Context& ctx, int64_t scale, ConstView input, View logits);

  std::shared_ptr<const Model> model_;
  int64_t rows_ = 0;
  std::unique_ptr<Hooks> hooks_;
  next_scale::States states_;
  int64_t next_scale_ = -1;  // -1: not begun
  Tensor cond_;              // [R, C]
  Tensor modulations_;       // [depth, R, chunks C]
  Tensor head_;              // [R, 2C]: scale, shift
};

}  // namespace gesso::var
