// A batch of pictures or videos being denoised: what depends on their size but not on the weights.
#pragma once

#include <memory>
#include <span>

#include "models/bidim/model.h"

namespace gesso::bidim {

class Session {
 public:
  // For latents [B, C, T, H, W]. Throws kUsage for a size that cannot be cut into patches.
  Session(std::shared_ptr<const Model> model, const Shape& latents);

  // out [B, C_out, T, H, W] f32 = F(x, t, classes); x [B, C, T, H, W] f32, timesteps [B], classes
  // [B] i32 in host memory, num_classes for none. Allocates on the arena only. Shows "tokens", "c"
  // and "block<i>".
  void Forward(Context& ctx, ConstView x, std::span<const double> timesteps, ConstView classes,
               View out) const;

  // Bytes of arena that Forward needs.
  size_t ArenaBytes() const;

 private:
  Shape OutShape() const;
  void Embed(Context& ctx, ConstView x, View tokens) const;
  void EmbedCondition(Context& ctx, std::span<const double> timesteps, ConstView classes,
                      View c) const;
  void RunBlock(Context& ctx, size_t index, ConstView condition, View x) const;
  void Project(Context& ctx, ConstView condition, View x, View out) const;

  std::shared_ptr<const Model> model_;
  Shape latents_;
  int64_t frames_;         // of tokens
  int64_t places_;         // tokens of a frame
  Tensor positions_;       // [N, D]
  Tensor temporal_first_;  // [B, N] i32: rows of [B * N] in this order
  Tensor canonical_;       // [B, N] i32: the way back
};

}  // namespace gesso::bidim
