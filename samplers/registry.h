// The tables of samplers and schedules: what `gesso models` lists, help prints and tests walk.
// Adding one is its function (diffusion/samplers.h, schedules.h) and one line in registry.cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/options.h"
#include "samplers/sampler.h"

namespace gesso {

// The noise that a sampler officially uses.
enum class NoiseKind {
  kIndependent,  // PhiloxNoise
  kBrownian,     // BrownianNoise
};

struct SamplerInfo {
  std::string name;
  std::string help;
  std::string paper;
  std::vector<std::string> aliases;  // names in other programs
  NoiseKind noise;
  std::vector<OptionInfo> options = {};
  std::function<Sampler(std::string_view options)> make = nullptr;
  // The pictures of a batch depend on each other (one step size for all): run them one by one.
  bool couples_batch = false;
};

// n steps between the noise levels sigma_min and sigma_max that a model knows -> n + 1 levels.
using Schedule = std::function<std::vector<double>(int64_t n, double sigma_min, double sigma_max)>;

struct ScheduleInfo {
  std::string name;
  std::string help;
  std::string paper;
  std::vector<OptionInfo> options = {};
  std::function<Schedule(std::string_view options)> make = nullptr;
};

const std::vector<SamplerInfo>& Samplers();
const std::vector<ScheduleInfo>& Schedules();

// By name or alias, with or without options after a colon. Throw kUsage, naming the choices.
const SamplerInfo& FindSampler(std::string_view method);
const ScheduleInfo& FindSchedule(std::string_view method);

// "dpmpp_2m_sde:eta=0,solver_type=heun", "karras:rho=5". Throw kUsage for an unknown name, an
// unknown option or a value out of range; so does the schedule, naming its options, where they make
// levels that CheckSigmas refuses.
Sampler MakeSampler(std::string_view method);
Schedule MakeSchedule(std::string_view method);

// The noise source that `kind` names, one seed a picture.
std::unique_ptr<NoiseSource> MakeNoise(NoiseKind kind, std::vector<uint64_t> seeds);

}  // namespace gesso
