// What the samplers share: step formulas, noise, and the bookkeeping around a step.
#pragma once

#include <initializer_list>

#include "samplers/diffusion/samplers.h"

namespace gesso {

// A step from noise level `from` to `to` that first goes down to `down` and then adds noise of
// standard deviation `up`; eta = 0 gives {to, 0}. Official source get_ancestral_step.
struct AncestralStep {
  double down;
  double up;
};
AncestralStep SplitAncestral(double from, double to, double eta);

// Halfway between two noise levels in t = -log sigma.
double GeometricMean(double a, double b);

// The number of steps of run.sigmas.
int64_t StepCount(const SamplerRun& run);

// An uninitialised tensor like run.x, until the enclosing Scope ends.
View Buffer(Context& ctx, const SamplerRun& run);

// Noise of standard deviation `amount` that is drawn where it is added; 0: none.
struct AddedNoise {
  double amount = 0;
  NoiseDraw draw = {};
};
// For the move from `sigma` to `sigma_next`.
AddedNoise NoiseOf(const SamplerRun& run, int64_t draw, double sigma, double sigma_next,
                   double amount);

// out = sum of coefficient * x + noise in one pass, leaving out terms whose coefficient is 0. At
// most 8 terms, noise included; `out` may be among them.
struct Weighted {
  double coefficient;
  ConstView x;
};
void Combine(Context& ctx, View out, std::initializer_list<Weighted> terms,
             const AddedNoise& noise = {});

// out = (to / from) x + (1 - to / from) denoised + noise: along the straight line from x to its
// denoised estimate. It is Euler's step in sigma and the exponential integrator's first order in
// one.
void MoveTowards(Context& ctx, ConstView x, ConstView denoised, double from, double to, View out,
                 const AddedNoise& noise = {});

// What step `step` begins with: the noise that is added to run.x, and the noise level sigma_hat to
// which that raises it. After the last step, its level and nothing.
struct RaisedLevel {
  double sigma;
  AddedNoise noise = {};
};
RaisedLevel Churn(const SamplerRun& run, const ChurnOptions& options, int64_t step);
// Raises run.x to the level of the first step, which it returns. Later ones come with the update of
// the step before.
double RaiseStart(Context& ctx, const SamplerRun& run, const ChurnOptions& options);

// Tells the observer, if there is one.
void Report(Context& ctx, const SamplerRun& run, const SamplerStep& step);
// Of step `index` of run.sigmas, at noise level `sigma`.
void ReportStep(Context& ctx, const SamplerRun& run, int64_t index, double sigma,
                ConstView denoised);

}  // namespace gesso
