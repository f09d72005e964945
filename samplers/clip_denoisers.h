// Denoisers of clips [B, C, T, H, W] that treat their frames differently, around other denoisers.
#pragma once

#include <vector>

#include "samplers/denoiser.h"

namespace gesso {

// Holds frames in place: the estimate of frame t is drawn to a known one by weight w_t, 1 being
// the known frame itself. Where sampling starts from known + sigma noise, a frame of weight 1 keeps
// to known + sigma noise at every level, so that the others are painted to fit it: in-painting by
// replacement (Lugmayr et al. 2022, "RePaint", section 4.1, without its resampling) along time.
class HeldFrames : public Denoiser {
 public:
  // known [B, C, T, H, W] f32 contiguous; weights [T] in 0 .. 1. Keeps a reference to `inner`, and
  // `known` must stay.
  HeldFrames(Denoiser& inner, ConstView known, std::vector<float> weights);

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  Denoiser& inner_;
  ConstView known_;
  std::vector<float> weights_;
};

// The frames under different conditions: frame t is the estimate of part which[t], each of which
// sees the whole clip.
class FrameChoice : public Denoiser {
 public:
  // Keeps references to the parts. Only parts that a frame has chosen are computed.
  FrameChoice(std::vector<Denoiser*> parts, std::vector<size_t> which);

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  std::vector<Denoiser*> parts_;
  std::vector<size_t> which_;
};

// A clip whose last frame leads to its first: before every estimate the frames are rolled along
// time, each time by another amount, so that the seam is everywhere and nowhere (Bi et al. 2025,
// "Mobius: text to seamless looping video generation via latent shift").
class RolledFrames : public Denoiser {
 public:
  explicit RolledFrames(Denoiser& inner) : inner_(inner) {}  // keeps a reference

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override;

 private:
  Denoiser& inner_;
  int64_t calls_ = 0;
};

}  // namespace gesso
