// Recomputes the cases of noise schedules, through the registry: options are the case's config.
#include <algorithm>
#include <cmath>

#include "pipelines/verify/sampling.h"
#include "pipelines/verify/systems.h"
#include "samplers/registry.h"
#include "samplers/schedules.h"

namespace gesso {

namespace {

std::vector<double> Logarithms(std::vector<double> values) {
  for (double& value : values) value = std::log(value);
  return values;
}

}  // namespace

void VerifySchedule(Context& /*ctx*/, ParityCase& parity_case) {
  const std::string name = parity_case.system().substr(std::string_view("schedule.").size());
  const Json& config = parity_case.config();
  const Schedule schedule = MakeSchedule(MethodOf(name, config, {"n", "sigma_min", "sigma_max"}));
  // Schedules that have a range of their own have no sigma_min and sigma_max here.
  const std::vector<double> sigmas =
      schedule(Get<int64_t>(config, "n"), Get<double>(config, "sigma_min", 0.0),
               Get<double>(config, "sigma_max", 0.0));
  parity_case.Compare("out/sigmas", VectorOf(sigmas));
  parity_case.Compare("out/log_sigmas", VectorOf(Logarithms({sigmas.begin(), sigmas.end() - 1})));
}

void VerifyCosineInterpolated(Context& /*ctx*/, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const auto density = Get<Json>(config, "sigma_sample_density");
  const auto input_size = Get<std::vector<double>>(config, "input_size");
  Require(!input_size.empty(), ErrorKind::kFormat, "input_size is empty");
  const double side = *std::ranges::max_element(input_size);
  const CosineInterpolated levels{
      .image_d = Get<double>(density, "image_d", side),
      .noise_d_low = Get<double>(density, "noise_d_low", 32),
      .noise_d_high = Get<double>(density, "noise_d_high", side),
      .sigma_data = Get<double>(config, "sigma_data"),
      .min_value =
          Get<double>(density, "min_value", std::min(Get<double>(config, "sigma_min"), 1e-3)),
      .max_value =
          Get<double>(density, "max_value", std::max(Get<double>(config, "sigma_max"), 1e3))};
  const Tensor& u = parity_case.At("in/u");
  std::vector<double> sigmas;
  for (int64_t i = 0; i < u.shape().numel(); ++i) {
    sigmas.push_back(levels.SigmaAt(static_cast<double>(u.Data<float>()[i])));
  }
  parity_case.Compare("out/sigmas", VectorOf(sigmas));
  parity_case.Compare("out/log_sigmas", VectorOf(Logarithms(sigmas)));
}

}  // namespace gesso
