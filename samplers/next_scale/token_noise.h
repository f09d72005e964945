// Where next-scale sampling gets its random numbers from. A number is a function of the seed, the
// token's place in the sequence of all scales and what it is for: any split of a batch, any number
// of threads and a forked run give the same.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/context.h"

namespace gesso {

class TokenNoise {
 public:
  virtual ~TokenNoise() = default;

  // Uniform numbers in [0, 1) for the choices first..first+n-1 of every picture: out [B, n], n =
  // out.size() / B.
  virtual void Uniforms(int64_t first, std::span<double> out) const = 0;

  // Standard Gumbel noise for the same choices: out [B, n, V] f32.
  virtual void Gumbel(int64_t first, View out) const = 0;
};

// Numbers of picture b from seeds[b].
class PhiloxTokenNoise : public TokenNoise {
 public:
  explicit PhiloxTokenNoise(std::vector<uint64_t> seeds) : seeds_(std::move(seeds)) {}

  void Uniforms(int64_t first, std::span<double> out) const override;
  void Gumbel(int64_t first, View out) const override;

 private:
  std::vector<uint64_t> seeds_;
};

// Recorded numbers: uniforms [B, L], gumbel [B, L, V] f32, or empty where none is asked for.
// kShape beyond the last.
class ReplayTokenNoise : public TokenNoise {
 public:
  ReplayTokenNoise(Tensor uniforms, Tensor gumbel)
      : uniforms_(std::move(uniforms)), gumbel_(std::move(gumbel)) {}

  void Uniforms(int64_t first, std::span<double> out) const override;
  void Gumbel(int64_t first, View out) const override;

 private:
  Tensor uniforms_;
  Tensor gumbel_;
};

}  // namespace gesso
