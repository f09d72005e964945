// What samplers and guidance need of a denoising network, of whatever kind. A kind is its
// implementation of these two classes and one line in diffusion_model.cpp.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "kernels/core/context.h"
#include "models/io/json.h"

namespace gesso {

// What a batch shall show, one row a picture or clip. Empty where the model has none of the kind.
struct Conditions {
  Tensor class_cond;    // [B] i32
  Tensor pooled;        // [B, D] f32: mean of the states of the text
  Tensor context;       // [B, L, D] f32: the states
  Tensor context_mask;  // [B, L] i32: 1 for a token, 0 for padding
};

struct NetworkTraits {
  std::string kind;  // for people
  Json layers;       // for people: fields of `gesso info`
  int64_t channels = 0;
  int64_t frames = 1;  // of a clip, as trained; 1: the network makes pictures
  int64_t height = 0;  // pixels, as trained
  int64_t width = 0;
  int64_t frames_multiple = 1;  // what sizes must be multiples of
  int64_t height_multiple = 1;
  int64_t width_multiple = 1;
  int64_t smallest_height = 1;  // and the smallest that the network takes
  int64_t smallest_width = 1;
  int64_t num_classes = 0;
  int64_t text_width = 0;  // D of the text's states; 0: the network takes no text
  int64_t max_text_tokens = std::numeric_limits<int64_t>::max();  // of a prompt, </s> included
  double sigma_data = 1;
  double sigma_min = 0;
  double sigma_max = 0;

  // Of a batch: [B, C, H, W], or [B, C, T, H, W] of clips.
  Shape BatchShape(int64_t batch, int64_t clip_frames, int64_t high, int64_t wide) const {
    if (frames == 1) return {batch, channels, high, wide};
    return {batch, channels, clip_frames, high, wide};
  }
};

// One batch being denoised.
class DiffusionSession {
 public:
  virtual ~DiffusionSession() = default;

  // What the batch shall show, used by every Forward that follows.
  virtual void Condition(Context& ctx, const Conditions& conditions) = 0;
  // out = F(x, sigma): x and out f32 of the session's shape, x scaled to unit variance, sigmas [B]
  // the raw noise levels. Allocates on the arena only.
  virtual void Forward(Context& ctx, ConstView x, std::span<const double> sigmas, View out) = 0;
};

// Const after loading.
class DiffusionNetwork {
 public:
  explicit DiffusionNetwork(NetworkTraits traits) : traits_(std::move(traits)) {}
  virtual ~DiffusionNetwork() = default;

  const NetworkTraits& traits() const { return traits_; }
  // For a batch of `shape` (BatchShape). Throws kUsage for a size that does not fit the network.
  virtual std::unique_ptr<DiffusionSession> MakeSession(const Shape& shape) const = 0;

 private:
  NetworkTraits traits_;
};

}  // namespace gesso
