// One batch of pictures being denoised by an HDiT: everything that lasts from step to step but
// belongs to the pictures, not to the weights.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "kernels/core/replay.h"
#include "models/hdit/model.h"

namespace gesso::hdit {

class Session {
 public:
  // For pictures [B, C, H, W]. Throws kUsage for a size that the network cannot cut into tokens,
  // naming the multiples it needs and the limits that its attention sets.
  Session(std::shared_ptr<const Model> model, const Shape& pictures);

  const Shape& pictures() const { return pictures_; }
  const Model& model() const { return *model_; }

  // What the pictures shall show, computed once and used by every Forward that follows. Throws
  // kUsage for an input that the model needs and does not get, kShape for one of a wrong shape.
  void Condition(Context& ctx, const Conditioning& conditioning);

  // out [B, C, H, W] f32 = F(x, sigma); x [B, C, H, W] f32 is already scaled by c_in, sigma [B] > 0
  // is the raw noise level of each picture. out is not x. Condition first. Allocates on the arena
  // only.
  void Forward(Context& ctx, ConstView x, std::span<const double> sigma, View out);

  // Bytes of arena that Condition(conditioning) and then Forward need: a run on the meta device,
  // which reads no more than shapes.
  size_t ArenaBytes(const Conditioning& conditioning);

 private:
  struct LayerState {
    const RotaryTable* rotary = nullptr;
    Tensor text_keys;
  };
  using LevelState = std::vector<LayerState>;  // a state for each layer

  LevelState MakeState(size_t level, const std::vector<Layer>& layers);
  const RotaryTable& FindRotary(size_t level, const Tensor& freqs);
  void ComputeTextKeys(Context& ctx, ConstView context);
  // Forward at the noise levels in log_sigma_.
  void Compute(Context& ctx, ConstView x, View out);
  void RunLevel(const Pass& pass, size_t level, View x) const;
  void RunLayers(const Pass& pass, size_t level, const std::vector<Layer>& layers,
                 const LevelState& states, bool show, View x) const;

  std::shared_ptr<const Model> model_;
  Shape pictures_;
  std::map<std::pair<size_t, std::vector<float>>, RotaryTable> rotary_;  // by level and freqs
  std::vector<LevelState> down_;
  std::vector<LevelState> up_;
  bool conditioned_ = false;
  Tensor fixed_;                 // [B, mapping_width]: see Conditioner
  Tensor context_mask_;          // [B, L] i32, or empty
  std::vector<float> levels_;    // [B]: log(sigma) / 4
  Tensor log_sigma_;             // [B, 1]: the same for the device
  std::vector<float> up_share_;  // of a level's upsampled branch
  Replayer replayer_;
};

}  // namespace gesso::hdit
