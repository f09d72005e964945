#include "samplers/registry.h"

#include <algorithm>

#include "samplers/diffusion/samplers.h"
#include "samplers/schedules.h"

namespace gesso {

namespace {

constexpr const char* kKarras =
    "Karras et al. 2022, Elucidating the design space of diffusion-based generative models";
constexpr const char* kDpmSolver =
    "Lu et al. 2022, DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling in "
    "around 10 steps";
constexpr const char* kDpmSolverPp =
    "Lu et al. 2022, DPM-Solver++: fast solver for guided sampling of diffusion probabilistic "
    "models";

constexpr const char* kScoreSde =
    "Song et al. 2021, Score-based generative modeling through stochastic differential equations";

// Completes an entry by the sampler's function: options and factory follow from its type.
template <class Options>
SamplerInfo Entry(SamplerInfo info, void (*sample)(Context&, const SamplerRun&, const Options&)) {
  info.options = ListOptions<Options>();
  info.make = [sample](std::string_view text) -> Sampler {
    return [sample, options = ParseOptions<Options>(text)](Context& ctx, const SamplerRun& run) {
      CheckSigmas(run.sigmas);
      sample(ctx, run, options);
    };
  };
  return info;
}

struct RhoOptions {
  double rho = 7;
  void Visit(OptionVisitor& visitor) {
    visitor.Number("rho", rho, 0.1, 100, "the larger, the more steps at low noise");
  }
};

struct DegreeOptions {
  double rho = 1;
  void Visit(OptionVisitor& visitor) {
    visitor.Number("rho", rho, 0.1, 100, "degree of the polynomial");
  }
};

struct VpOptions {
  double beta_d = 19.9;
  double beta_min = 0.1;
  double eps_s = 1e-3;
  void Visit(OptionVisitor& visitor) {
    visitor.Number("beta_d", beta_d, 0, 100, "growth of the noise rate");
    visitor.Number("beta_min", beta_min, 1e-6, 100, "noise rate at time 0");
    visitor.Number("eps_s", eps_s, 1e-9, 0.5, "time of the last level");
  }
};

struct TimeUniformOptions {
  double beta_start = 0.00085;
  double beta_end = 0.012;
  void Visit(OptionVisitor& visitor) {
    visitor.Number("beta_start", beta_start, 1e-6, 0.9, "noise rate of the first of 1000 steps");
    visitor.Number("beta_end", beta_end, 1e-6, 0.9, "noise rate of the last");
  }
};

std::vector<double> Karras(int64_t n, double sigma_min, double sigma_max, const RhoOptions& o) {
  return KarrasSigmas(n, sigma_min, sigma_max, o.rho);
}

std::vector<double> Exponential(int64_t n, double sigma_min, double sigma_max, const NoOptions&) {
  return ExponentialSigmas(n, sigma_min, sigma_max);
}

std::vector<double> Polyexponential(int64_t n, double sigma_min, double sigma_max,
                                    const DegreeOptions& o) {
  return PolyexponentialSigmas(n, sigma_min, sigma_max, o.rho);
}

std::vector<double> Vp(int64_t n, double /*sigma_min*/, double /*sigma_max*/, const VpOptions& o) {
  return VpSigmas(n, o.beta_d, o.beta_min, o.eps_s);
}

std::vector<double> TimeUniform(int64_t n, double /*sigma_min*/, double /*sigma_max*/,
                                const TimeUniformOptions& o) {
  return TimeUniformSigmas(n, o.beta_start, o.beta_end);
}

template <class Options>
ScheduleInfo Entry(ScheduleInfo info,
                   std::vector<double> (*sigmas)(int64_t, double, double, const Options&)) {
  info.options = ListOptions<Options>();
  info.make = [sigmas](std::string_view text) -> Schedule {
    return [sigmas, options = ParseOptions<Options>(text)](int64_t n, double sigma_min,
                                                           double sigma_max) {
      return sigmas(n, sigma_min, sigma_max, options);
    };
  };
  return info;
}

template <class Info>
std::string NamesOf(const std::vector<Info>& table) {
  std::string names;
  for (const Info& info : table) names += (names.empty() ? "" : ", ") + info.name;
  return names;
}

}  // namespace

const std::vector<SamplerInfo>& Samplers() {
  constexpr NoiseKind kIndependent = NoiseKind::kIndependent;
  constexpr NoiseKind kBrownian = NoiseKind::kBrownian;
  static const std::vector<SamplerInfo> kTable = {
      // name, help, paper, aliases, noise, function
      Entry({"euler", "first order; fast, smooth, the plainest choice", kKarras, {}, kIndependent},
            SampleEuler),
      Entry({"euler_ancestral",
             "first order with fresh noise each step; varied pictures",
             "Song et al. 2021, Denoising diffusion implicit models",
             {"euler_a"},
             kIndependent},
            SampleEulerAncestral),
      Entry({"heun", "second order, two model calls a step; accurate", kKarras, {}, kIndependent},
            SampleHeun),
      Entry({"dpm_2", "second order, two model calls a step", kDpmSolver, {"dpm2"}, kIndependent},
            SampleDpm2),
      Entry({"dpm_2_ancestral",
             "dpm_2 with fresh noise each step",
             kDpmSolver,
             {"dpm2_a", "dpm2_ancestral"},
             kIndependent},
            SampleDpm2Ancestral),
      Entry({"lms",
             "linear multistep, one model call a step",
             "Liu et al. 2022, Pseudo numerical methods for diffusion models on manifolds",
             {},
             kIndependent},
            SampleLms),
      Entry({"dpm_fast",
             "third order, as many model calls as steps; for few steps",
             kDpmSolver,
             {},
             kIndependent},
            SampleDpmFast),
      Entry({"dpm_singlestep",
             "third order along the schedule, as many model calls as steps",
             kDpmSolverPp,
             {"dpmsolver_singlestep"},
             kIndependent},
            SampleDpmSinglestep),
      Entry({"euler_maruyama",
             "first order along the variance-preserving SDE; for hundreds of steps",
             kScoreSde,
             {},
             kIndependent},
            SampleEulerMaruyama),
      Entry({.name = "dpm_adaptive",
             .help = "chooses its steps by their error, not by --steps",
             .paper = kDpmSolver,
             .aliases = {},
             .noise = kIndependent,
             .couples_batch = true},
            SampleDpmAdaptive),
      Entry({"dpmpp_2s_ancestral",
             "second order with fresh noise each step, two model calls",
             kDpmSolverPp,
             {"dpm++2s_a", "dpmpp_2s_a"},
             kIndependent},
            SampleDpmpp2sAncestral),
      Entry({"dpmpp_sde",
             "second order with Brownian noise, two model calls a step",
             kDpmSolverPp,
             {"dpm++sde"},
             kBrownian},
            SampleDpmppSde),
      Entry({"dpmpp_2m",
             "second order, one model call a step; good in 15 to 25 steps",
             kDpmSolverPp,
             {"dpm++2m"},
             kIndependent},
            SampleDpmpp2m),
      Entry({"dpmpp_2m_sde",
             "dpmpp_2m with Brownian noise",
             kDpmSolverPp,
             {"dpm++2m_sde"},
             kBrownian},
            SampleDpmpp2mSde),
      Entry({"dpmpp_3m_sde",
             "third order with Brownian noise; for 30 steps and more",
             kDpmSolverPp,
             {"dpm++3m_sde"},
             kBrownian},
            SampleDpmpp3mSde),
  };
  return kTable;
}

const std::vector<ScheduleInfo>& Schedules() {
  static const std::vector<ScheduleInfo> kTable = {
      Entry({"karras", "equal steps in sigma^(1/rho): most of them at low noise", kKarras}, Karras),
      Entry({"exponential", "equal steps in log sigma", kKarras}, Exponential),
      Entry({"polyexponential", "a polynomial in log sigma", kKarras}, Polyexponential),
      Entry(
          {"vp", "the variance-preserving process; its range of noise is given by its own options",
           kScoreSde},
          Vp),
      Entry({"time_uniform", "equal steps in the time of Stable Diffusion's process, also DiM's",
             kDpmSolver},
            TimeUniform),
  };
  return kTable;
}

const SamplerInfo& FindSampler(std::string_view method) {
  const std::string_view name = SplitMethod(method).first;
  for (const SamplerInfo& info : Samplers()) {
    if (info.name == name || std::ranges::find(info.aliases, name) != info.aliases.end()) {
      return info;
    }
  }
  Fail(ErrorKind::kUsage, "there is no sampler '{}' (samplers: {})", name, NamesOf(Samplers()));
}

const ScheduleInfo& FindSchedule(std::string_view method) {
  const std::string_view name = SplitMethod(method).first;
  for (const ScheduleInfo& info : Schedules()) {
    if (info.name == name) return info;
  }
  Fail(ErrorKind::kUsage, "there is no schedule '{}' (schedules: {})", name, NamesOf(Schedules()));
}

Sampler MakeSampler(std::string_view method) {
  const SamplerInfo& info = FindSampler(method);
  return WithContext("sampler " + info.name, [&] { return info.make(SplitMethod(method).second); });
}

Schedule MakeSchedule(std::string_view method) {
  const ScheduleInfo& info = FindSchedule(method);
  const Schedule schedule =
      WithContext("schedule " + info.name, [&] { return info.make(SplitMethod(method).second); });
  return [schedule, name = std::string(method)](int64_t n, double sigma_min, double sigma_max) {
    return WithContext("schedule " + name, [&] {
      std::vector<double> sigmas = schedule(n, sigma_min, sigma_max);
      CheckSigmas(sigmas);
      return sigmas;
    });
  };
}

std::unique_ptr<NoiseSource> MakeNoise(NoiseKind kind, std::vector<uint64_t> seeds) {
  if (kind == NoiseKind::kBrownian) return std::make_unique<BrownianNoise>(std::move(seeds));
  return std::make_unique<PhiloxNoise>(std::move(seeds));
}

}  // namespace gesso
