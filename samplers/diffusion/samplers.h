// The samplers of k-diffusion and of DiM, one function a file, with their options. Notation: sigma
// is the noise level, t = -log sigma, D the denoiser's estimate. Official source
// crowsonkb/k-diffusion k_diffusion/sampling.py:sample_<name>, but for those whose file names
// another.
#pragma once

#include <limits>

#include "kernels/core/options.h"
#include "samplers/sampler.h"

namespace gesso {

struct NoOptions {
  void Visit(OptionVisitor& /*visitor*/) {}
};

// Noise added before a step, Karras et al. 2022, algorithm 2.
struct ChurnOptions {
  double s_churn = 0;
  double s_tmin = 0;
  double s_tmax = std::numeric_limits<double>::infinity();
  double s_noise = 1;
  void Visit(OptionVisitor& visitor);
};

// Noise added after a step.
struct AncestralOptions {
  double eta = 1;
  double s_noise = 1;
  void Visit(OptionVisitor& visitor);
};

struct LmsOptions {
  static constexpr int64_t kMaxOrder = 7;
  int64_t order = 4;
  void Visit(OptionVisitor& visitor);
};

struct DpmFastOptions {
  double eta = 0;
  double s_noise = 1;
  void Visit(OptionVisitor& visitor);
};

struct DpmSinglestepOptions {
  int64_t order = 3;
  std::string_view prediction = "data";
  void Visit(OptionVisitor& visitor);
};

// Noise rates of the process (vp_process.h).
struct EulerMaruyamaOptions {
  double beta_d = 19.9;
  double beta_min = 0.1;
  void Visit(OptionVisitor& visitor);
};

struct DpmAdaptiveOptions {
  int64_t order = 3;
  double rtol = 0.05;
  double atol = 0.0078;
  double h_init = 0.05;
  double pcoeff = 0;
  double icoeff = 1;
  double dcoeff = 0;
  double accept_safety = 0.81;
  double eta = 0;
  double s_noise = 1;
  void Visit(OptionVisitor& visitor);
};

struct DpmppSdeOptions {
  double eta = 1;
  double s_noise = 1;
  double r = 0.5;
  void Visit(OptionVisitor& visitor);
};

struct Dpmpp2mSdeOptions {
  double eta = 1;
  double s_noise = 1;
  std::string_view solver_type = "midpoint";
  void Visit(OptionVisitor& visitor);
};

// First order along the ODE.
void SampleEuler(Context& ctx, const SamplerRun& run, const ChurnOptions& options);
void SampleEulerAncestral(Context& ctx, const SamplerRun& run, const AncestralOptions& options);
// Second order, two model calls a step (one in a step to 0).
void SampleHeun(Context& ctx, const SamplerRun& run, const ChurnOptions& options);
void SampleDpm2(Context& ctx, const SamplerRun& run, const ChurnOptions& options);
void SampleDpm2Ancestral(Context& ctx, const SamplerRun& run, const AncestralOptions& options);
void SampleDpmpp2sAncestral(Context& ctx, const SamplerRun& run, const AncestralOptions& options);
void SampleDpmppSde(Context& ctx, const SamplerRun& run, const DpmppSdeOptions& options);
// Higher orders from the steps before, one model call a step.
void SampleLms(Context& ctx, const SamplerRun& run, const LmsOptions& options);
void SampleDpmpp2m(Context& ctx, const SamplerRun& run, const NoOptions& options);
void SampleDpmpp2mSde(Context& ctx, const SamplerRun& run, const Dpmpp2mSdeOptions& options);
void SampleDpmpp3mSde(Context& ctx, const SamplerRun& run, const AncestralOptions& options);
// From sigmas[0] to the schedule's smallest positive level at steps of their own, of which the
// schedule gives the ends and, to dpm_fast, the number of model calls. What noise that last level
// means stays in x. Where both levels are the same (one step to 0) x becomes D.
void SampleDpmFast(Context& ctx, const SamplerRun& run, const DpmFastOptions& options);
// Along the levels of the schedule, all of which cost a model call; a step to 0 makes x D.
void SampleDpmSinglestep(Context& ctx, const SamplerRun& run, const DpmSinglestepOptions& options);
// First order along the SDE. Of one long step to 0, D is not the result.
void SampleEulerMaruyama(Context& ctx, const SamplerRun& run, const EulerMaruyamaOptions& options);
// The step size is chosen for the whole batch. Throws kFormat where D is not finite, kUsage for
// tolerances that float32 cannot keep.
void SampleDpmAdaptive(Context& ctx, const SamplerRun& run, const DpmAdaptiveOptions& options);

}  // namespace gesso
