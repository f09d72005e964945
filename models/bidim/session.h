// A batch of pictures or videos being denoised: what depends on their size but not on the weights.
#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/core/replay.h"
#include "models/bidim/model.h"

namespace gesso::bidim {

// What a batch shall show, in host memory, contiguous: a class, or a text if the model takes one.
struct Conditioning {
  ConstView classes;       // [B] i32, num_classes for none
  ConstView pooled;        // [B, text.dim] f32: mean of the text's states
  ConstView context;       // [B, L, text.dim] f32: the states
  ConstView context_mask;  // [B, L] i32: 1 for a token, 0 for padding
};

// What a network under the preconditioning of Karras et al. 2022 takes for the timestep of a noise
// level. Official source: gesso tools/train/bidim.py:BiDiM.
inline double TimeOf(double sigma) { return 250 * std::log(sigma); }

class Session {
 public:
  // For latents [B, C, T, H, W], and texts of `text_tokens` tokens, text.tokens if absent. Throws
  // kUsage for a size that cannot be cut into patches.
  Session(std::shared_ptr<const Model> model, const Shape& latents,
          std::optional<int64_t> text_tokens = std::nullopt);

  // out [B, C_out, T, H, W] f32 = F(x, t, conditioning); x [B, C, T, H, W] f32, timesteps [B].
  // Allocates on the arena only. Shows "tokens" (with those of the text in front), "c" and
  // "block<i>". Throws kShape for inputs that do not fit each other or the model. What is at the
  // addresses of a conditioning must not change from pass to pass.
  void Forward(Context& ctx, ConstView x, std::span<const double> timesteps,
               const Conditioning& conditioning, View out);

  // Bytes of arena that Forward needs.
  size_t ArenaBytes();

 private:
  void MakeOrders();
  Shape OutShape() const;
  void RequireFit(const Conditioning& conditioning) const;
  void EmbedText(Context& ctx, const Conditioning& conditioning, View tokens) const;
  void Embed(Context& ctx, ConstView x, View tokens) const;
  // Remembers what Compute reads: the times, and of which tokens of the texts nothing is left.
  void TellDevice(const Context& ctx, std::span<const double> timesteps,
                  const Conditioning& conditioning);
  // Forward at the times in sinusoids_.
  void Compute(Context& ctx, ConstView x, const Conditioning& conditioning, View out) const;
  void EmbedCondition(Context& ctx, const Conditioning& conditioning, View c) const;
  // The tokens of picture b but those of the text, [N, D].
  View PictureTokens(View tokens, int64_t b) const;
  void RunBlock(Context& ctx, size_t index, ConstView condition, View x) const;
  void Project(Context& ctx, ConstView condition, View x, View out) const;

  std::shared_ptr<const Model> model_;
  Shape latents_;
  int64_t frames_;         // of tokens
  int64_t places_;         // tokens of a frame
  int64_t text_;           // tokens before them, L
  Tensor positions_;       // [N, D]
  Tensor temporal_first_;  // [B, L + N] i32: rows of [B * (L + N)] in this order
  Tensor canonical_;       // [B, L + N] i32: the way back

  // Of the pass that goes on.
  std::vector<float> times_;     // [B, features]: sinusoids of the timesteps
  Tensor sinusoids_;             // the same for the device
  Conditioning given_;           // of the pass before
  std::vector<float> is_token_;  // [B, L, D]: rows of 1 for tokens, of 0 for padding
  Tensor text_mask_;             // the same for the device
  Replayer replayer_;
};

}  // namespace gesso::bidim
