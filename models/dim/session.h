// A batch of pictures being denoised by DiM: what depends on their size but not on the weights, the
// places of tokens in the sequence above all.
//
// A sequence holds time, class, pad tokens, and then the tokens of the picture, which has pad
// tokens on its right and lower sides, in the scan order of the block that reads it.
//
// Official: tyshiwo1/DiM-DiffusionMamba mamba_attn_diff/models/mamba_2d.py:Mamba2DModel.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/core/replay.h"
#include "models/dim/model.h"

namespace gesso::dim {

class Session {
 public:
  // For pictures or latents [B, C, H, W]. Throws kUsage for a size that patches do not divide.
  Session(std::shared_ptr<const Model> model, const Shape& pictures);

  // out [B, out_channels, H, W] f32 = F(x, t, classes); x [B, C, H, W] f32, timesteps [B] in
  // 0..1000, classes [B] i32 in host memory, num_classes for none. Allocates on the arena only.
  // Shows "seq_in", "block<i>" (in the block's own order) and "final_tokens". Passes over the same
  // buffers are recorded (kernels/core/replay.h).
  void Forward(Context& ctx, ConstView x, std::span<const double> timesteps, ConstView classes,
               View out);

  // Bytes of arena that Forward needs.
  size_t ArenaBytes();

 private:
  // What the condition comes down to.
  struct Condition {
    View label;  // [B, D]: rows of label_emb
    View adaln;  // [B, 3D]: shift, scale, gate
  };

  int64_t Length() const { return prefix_ + grid_height_ * grid_width_; }
  Shape OutShape() const;
  Tensor MakePositions() const;
  Tensor MakePads() const;
  void MakeOrders();
  Tensor RowIds(std::span<const int64_t> ids, int64_t table_rows) const;

  // What the device needs to know of this pass.
  void TellDevice(const Context& ctx, std::span<const double> timesteps, ConstView classes);
  // Forward at the times in time_ and sinusoids_.
  void Compute(Context& ctx, ConstView x, ConstView classes, View out) const;
  void Embed(Context& ctx, ConstView x, const Condition& condition, View sequence) const;
  Condition EmbedCondition(Context& ctx, ConstView classes) const;
  void RunBlocks(Context& ctx, const Condition& condition, View sequence) const;
  void RunBlock(Context& ctx, const Block& block, ConstView adaln, View x) const;
  void Reorder(Context& ctx, int64_t from, int64_t to, ConstView x, View out) const;
  void Project(Context& ctx, const Condition& condition, ConstView sequence, View out) const;

  std::shared_ptr<const Model> model_;
  Shape pictures_;
  int64_t height_ = 0;  // of the map of tokens
  int64_t width_ = 0;
  int64_t grid_height_ = 0;  // with pad tokens
  int64_t grid_width_ = 0;
  int64_t prefix_ = 0;   // tokens before the picture's: time, class, pads
  Tensor positions_;     // [height * width, D]
  Tensor pads_;          // [2 pads, D]: those of the prefix, those of the grid
  Tensor sequence_ids_;  // [B, N] i32: rows of Embed's table
  Tensor picture_ids_;   // [B, height * width] i32: rows of the sequences in order 0
  std::map<std::pair<int64_t, int64_t>, Tensor> moves_;  // [B, N] i32, by orders from and to
  std::vector<float> numbers_;                           // for the next two, on the host
  Tensor time_;                                          // [B, D]: sinusoids of the timesteps
  Tensor sinusoids_;                                     // [B, features]: those that the MLP takes
  const void* classes_ = nullptr;                        // where recordings read them
  Replayer replayer_;
};

}  // namespace gesso::dim
