// Where samplers get their noise from: pure functions of what is asked for, so that a run can be
// repeated, split into batches, cancelled and resumed, or fed with recorded noise.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/elementwise.h"

namespace gesso {

// Draws are numbered from pass * kDrawsPerPass on where levels are passed again (RePaint): the
// noise of another pass is independent.
constexpr int64_t kDrawsPerPass = int64_t{1} << 32;

// Unit normal noise for B pictures that is not made yet: what adds it draws it in the same pass.
struct NoiseDraw {
  std::span<const uint64_t> seeds = {};  // [B], of the source; empty where it is recorded
  std::array<NormalTerm, kMostNormalTerms> streams = {};
  size_t count = 0;         // of streams
  ConstView recorded = {};  // [..., B, ...] f32, of the source
};

// out [B, ...] f32 contiguous = sum of terms + amount * noise, in one pass. At most 7 terms; `out`
// may be among them. Throws kShape for recorded noise of another size.
void AddUp(Context& ctx, std::span<const Term> terms, double amount, const NoiseDraw& noise,
           View out);

class NoiseSource {
 public:
  virtual ~NoiseSource() = default;

  // Noise for the move from noise level `sigma` to `sigma_next`. `draw` numbers what a sampler asks
  // for: one per step, two in dpmpp_sde. The same question has the same answer.
  virtual NoiseDraw Draw(int64_t draw, double sigma, double sigma_next) const = 0;
};

// The noise that sampling starts from: fills out [B, ...] f32 contiguous with unit normal numbers,
// picture b a function of seeds[b] alone.
void DrawStart(Context& ctx, std::span<const uint64_t> seeds, View out);

// The same for clips that are made in parts: fills out [1, C, T, H, W], frame t a function of
// (seed, frames[t]) alone, so that parts which share frames share their noise.
void DrawFrames(Context& ctx, uint64_t seed, std::span<const int64_t> frames, View out);

// Independent draws: picture b of draw i is a function of (seeds[b], i).
class PhiloxNoise : public NoiseSource {
 public:
  explicit PhiloxNoise(std::vector<uint64_t> seeds) : seeds_(std::move(seeds)) {}

  NoiseDraw Draw(int64_t draw, double sigma, double sigma_next) const override;

 private:
  std::vector<uint64_t> seeds_;
};

// Increments of one Brownian path W(sigma) a picture: (W(sigma) - W(sigma_next)) divided by its
// standard deviation. Overlapping moves are correlated as they should be, and another number of
// steps follows the same path, hence gives a similar picture.
//
// The path is a virtual Brownian tree (Li et al. 2020, "Scalable gradients for stochastic
// differential equations", section 4) over log sigma instead of sigma, where steps are of similar
// length: a fixed tree of depth 14 over 2^-16 .. 2^16, and one bridge of its own for the point
// asked for. Levels outside are kUsage. Of `draw` only the pass plays a part: each has a path.
class BrownianNoise : public NoiseSource {
 public:
  explicit BrownianNoise(std::vector<uint64_t> seeds) : seeds_(std::move(seeds)) {}

  NoiseDraw Draw(int64_t draw, double sigma, double sigma_next) const override;

 private:
  std::vector<uint64_t> seeds_;
};

// Recorded noise [draws, B, ...] f32: draw i is row i; kShape beyond the last.
class ReplayNoise : public NoiseSource {
 public:
  explicit ReplayNoise(Tensor noise) : noise_(std::move(noise)) {}

  NoiseDraw Draw(int64_t draw, double sigma, double sigma_next) const override;

 private:
  Tensor noise_;
};

}  // namespace gesso
