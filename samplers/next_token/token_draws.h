// Where samplers of token sequences get their random numbers from: pure functions of what is asked
// for, like samplers/noise.h.
#pragma once

#include <cstdint>

namespace gesso {

// All numbers are uniform in [0, 1); `call` counts the calls of the network.
class TokenDraws {
 public:
  virtual ~TokenDraws() = default;

  virtual double Sample(int64_t call, int64_t position) const = 0;  // draws a token
  virtual double Accept(int64_t call, int64_t position) const = 0;  // tests a draft
  virtual double Resample(int64_t call) const = 0;                  // redraws after a rejection
  // The `index`-th fresh draft of a call, as an index below `choices`.
  virtual int64_t Draft(int64_t call, int64_t index, int64_t choices) const = 0;
};

// One stream of Philox numbers a call and kind.
class PhiloxTokenDraws : public TokenDraws {
 public:
  explicit PhiloxTokenDraws(uint64_t seed) : seed_(seed) {}

  double Sample(int64_t call, int64_t position) const override;
  double Accept(int64_t call, int64_t position) const override;
  double Resample(int64_t call) const override;
  int64_t Draft(int64_t call, int64_t index, int64_t choices) const override;

 private:
  uint64_t seed_;
};

}  // namespace gesso
