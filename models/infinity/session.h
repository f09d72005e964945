// Pictures being made by Infinity, scale by scale: the caches of all layers and what the texts have
// been turned into. Weights stay const; copies of a session go on independently.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/infinity/model.h"
#include "models/infinity/rotary.h"
#include "models/next_scale/states.h"

namespace gesso::infinity {

// The texts of the R rows of a batch, padded to the longest.
struct TextBatch {
  Tensor text;  // [R, L, text_channels] f32: states of the text encoder
  Tensor mask;  // [R, L] i32: 1 for tokens, 0 for padding
};

// Rows for `prompts` [len, text_channels] f32 each, and with guidance behind them as many for
// `negatives`, or, where these are empty, for the learned stand-in of the prompts' lengths. Throws
// kUsage for a prompt that is empty or longer than the model reads.
TextBatch MakeTextBatch(const Model& model, std::span<const ConstView> prompts,
                        std::span<const ConstView> negatives, bool guided);

// Guidance inside the network: after each of `layers` conditional and unconditional states of a
// picture are both replaced by scale * cond + (1 - scale) * uncond.
struct LayerGuidance {
  std::vector<int64_t> layers;
  std::vector<double> scales;  // by scale of the schedule; 1 = none

  bool operator==(const LayerGuidance&) const = default;
};

struct SessionOptions {
  std::vector<TokenMap> maps;  // of the transformer's tokens
  TokenMap reference;          // grid of the rotary embedding: the 1M template's last map
  int64_t rows = 1;            // R; with guidance twice the pictures
  LayerGuidance guidance = {};

  bool operator==(const SessionOptions&) const = default;
};

class Session {
 public:
  // `hooks` may be null. Throws kUsage for options that do not fit the model.
  Session(std::shared_ptr<const Model> model, SessionOptions options,
          std::unique_ptr<Hooks> hooks = nullptr);

  const Model& model() const { return *model_; }
  int64_t rows() const { return options_.rows; }
  int64_t scales() const { return static_cast<int64_t>(options_.maps.size()); }
  const SessionOptions& options() const { return options_; }
  const TokenMap& map(int64_t scale) const { return options_.maps[static_cast<size_t>(scale)]; }
  // Whether Forward is to be called for the scale; one that hooks leave out adds nothing.
  bool Runs(int64_t scale) const { return hooks_ == nullptr || hooks_->RunsScale(scale); }

  // Starts over with text [R, L, text_channels] f32 and mask [R, L] i32. Throws kShape.
  void Begin(Context& ctx, ConstView text, ConstView mask);

  // One scale, in ascending order, each once; Begin first. `input` [P, N, bits] f32 are the codes
  // so far of the P pictures that the rows show in turn (row i shows picture i mod P); empty for
  // scale 0. Writes logits [Q, N, 2 bits] f32 of the first Q rows, channel 2 i + v for value v of
  // bit i; any Q up to R. Throws kUsage out of order. Allocates on the arena only.
  void Forward(Context& ctx, int64_t scale, ConstView input, View logits);

  // Whether its memory stays where it is from picture to picture, and passes are recorded.
  bool stays() const { return states_.stay(); }
  // What the keys and values of all layers take now.
  size_t CacheBytes() const { return states_.KeyBytes(); }

  // A session in the state of this one, whose row i is row rows[i] here; rows may repeat.
  Session Fork(std::span<const int64_t> rows) const;

  // Bytes of arena that Begin with texts of `text_length` tokens and Forward of all scales need,
  // input and logits left out. Ends what was begun.
  size_t ArenaBytes(int64_t text_length);

 private:
  void CheckForward(int64_t scale, ConstView input, View logits) const;
  View LevelRows(Context& ctx, int64_t scale) const;
  void Embed(Context& ctx, int64_t scale, ConstView input, ConstView levels, View x) const;
  void RunBlocks(Context& ctx, int64_t scale, ConstView levels, View x);
  void Compute(Context& ctx, int64_t scale, ConstView input, View logits);

  std::shared_ptr<const Model> model_;
  SessionOptions options_;
  std::unique_ptr<Hooks> hooks_;
  Rotary rotary_;
  Tensor level_ids_;  // [tokens of all maps] i32: the scale of each
  next_scale::States states_;
  int64_t next_scale_ = -1;  // -1: not begun
  Tensor cond_;              // [R, C]
  Tensor modulations_;       // [depth, R, 6C]
  Tensor head_;              // [R, 2C]: scale, shift
};

}  // namespace gesso::infinity
