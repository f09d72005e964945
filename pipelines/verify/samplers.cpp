// Recomputes the cases of samplers on their analytic denoiser, with their recorded noise, through
// the registry: options are the case's config.
#include <algorithm>
#include <cstring>

#include "pipelines/verify/sampling.h"
#include "pipelines/verify/systems.h"
#include "samplers/mixture_denoiser.h"
#include "samplers/registry.h"
#include "samplers/schedules.h"

namespace gesso {

namespace {

// Tensors of one shape, as they came.
class Series {
 public:
  void Add(ConstView value) { values_.push_back(Cast(value, DType::kF32)); }

  // [count, ...]
  Tensor Stack() const {
    CHECK(!values_.empty());
    const Shape& item = values_[0].shape();
    std::vector<int64_t> dims = {static_cast<int64_t>(values_.size())};
    dims.insert(dims.end(), item.dims().begin(), item.dims().end());
    Tensor stack(Shape(dims), DType::kF32);
    auto* to = stack.MutableData<float>();
    for (const Tensor& value : values_) to = std::copy_n(value.Data<float>(), item.numel(), to);
    return stack;
  }

 private:
  std::vector<Tensor> values_;
};

// Passes on to a denoiser and keeps what went in and out.
class RecordingDenoiser : public Denoiser {
 public:
  explicit RecordingDenoiser(Denoiser& denoiser) : denoiser_(denoiser) {}

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override {
    denoiser_.Denoise(ctx, x, sigma, denoised);
    x_.Add(x);
    sigma_.push_back(sigma);
    out_.Add(denoised);
  }

  int64_t calls() const { return static_cast<int64_t>(sigma_.size()); }
  void Compare(ParityCase& parity_case) const {
    parity_case.Compare("mid/model_sigma", VectorOf(sigma_));
    parity_case.Compare("mid/model_x", x_.Stack());
    parity_case.Compare("mid/model_out", out_.Stack());
  }

 private:
  Denoiser& denoiser_;
  Series x_;
  std::vector<double> sigma_;
  Series out_;
};

std::vector<double> SigmasOf(const ParityCase& parity_case) {
  if (parity_case.Has("in/sigmas")) {
    const Tensor& sigmas = parity_case.At("in/sigmas");
    return {sigmas.Data<float>(), sigmas.Data<float>() + sigmas.shape().numel()};
  }
  const Json& config = parity_case.config();
  const auto low = Get<double>(config, "sigma_min");
  const auto high = Get<double>(config, "sigma_max");
  // The number of steps is dpm_fast's number of model calls.
  if (config.contains("n")) return ExponentialSigmas(Get<int64_t>(config, "n"), low, high);
  return {high, low};
}

std::unique_ptr<NoiseSource> NoiseOf(const ParityCase& parity_case) {
  const std::string name = "in/noise";
  // Without recorded noise the case must draw none; an empty recording refuses every draw.
  Tensor noise = parity_case.Has(name) ? parity_case.At(name) : Tensor(Shape{0, 1}, DType::kF32);
  return std::make_unique<ReplayNoise>(std::move(noise));
}

// What dpm_adaptive's cases record: the state after each attempt, and how many were kept.
void CompareAttempts(ParityCase& parity_case, const RecordingDenoiser& denoiser,
                     const std::vector<Tensor>& x, const std::vector<double>& sigmas) {
  Series after;
  int32_t kept = 0;
  for (size_t i = 1; i < x.size(); ++i) {
    after.Add(x[i]);
    kept += sigmas[i] != sigmas[i - 1] ? 1 : 0;
  }
  const auto attempts = static_cast<int32_t>(x.size()) - 1;
  const std::vector<int32_t> info = {attempts, static_cast<int32_t>(denoiser.calls()), kept,
                                     attempts - kept};
  parity_case.Compare("mid/x", after.Stack());
  parity_case.Compare("mid/sigma", VectorOf({sigmas.begin() + 1, sigmas.end()}));
  parity_case.Compare("out/info", ConstView(info.data(), {4}, DType::kI32));
}

}  // namespace

void VerifySampler(Context& ctx, ParityCase& parity_case) {
  const std::string name = parity_case.system().substr(std::string_view("sampler.").size());
  const Sampler sampler =
      MakeSampler(MethodOf(name, parity_case.config(), {"sampler", "n", "sigma_min", "sigma_max"}));
  const std::vector<double> sigmas = SigmasOf(parity_case);
  MixtureDenoiser mixture(parity_case.At("in/means"), parity_case.At("in/stds"),
                          parity_case.At("in/weights"));
  RecordingDenoiser denoiser(mixture);
  const std::unique_ptr<NoiseSource> noise = NoiseOf(parity_case);
  Tensor x = Cast(parity_case.At("in/x"), DType::kF32);
  std::vector<Tensor> step_x;
  std::vector<double> step_sigma;
  sampler(ctx, {.denoiser = denoiser,
                .x = x.mutable_view(),
                .sigmas = sigmas,
                .noise = *noise,
                .observer = [&](const SamplerStep& step) {
                  step_x.push_back(Cast(step.x, DType::kF32));
                  step_sigma.push_back(step.sigma);
                }});
  denoiser.Compare(parity_case);
  if (parity_case.Has("out/info")) {
    step_x.push_back(Cast(x, DType::kF32));
    step_sigma.push_back(sigmas.back());
    CompareAttempts(parity_case, denoiser, step_x, step_sigma);
  } else {
    Series before;
    for (const Tensor& value : step_x) before.Add(value);
    parity_case.Compare("mid/x", before.Stack());
  }
  parity_case.Compare("out/x", x);
}

}  // namespace gesso
