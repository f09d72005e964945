// Recomputes whole runs of DiM's samplers, through the registry: DPM-Solver with classifier-free
// guidance on latents, with upsample guidance too, and Euler-Maruyama on pixels.
// Official source tyshiwo1/DiM-DiffusionMamba eval_ldm_discrete.py:evaluate, sde.py.
#include <algorithm>
#include <cmath>

#include "pipelines/dim_denoiser.h"
#include "pipelines/verify/sampling.h"
#include "pipelines/verify/systems.h"
#include "samplers/guidance.h"
#include "samplers/registry.h"
#include "samplers/upsample_guidance.h"

namespace gesso {

namespace {

// Guided latents of one size: without the class and with it in one pass.
class GuidedDim : public Denoiser {
 public:
  GuidedDim(const std::shared_ptr<const dim::Model>& model, const Shape& pictures, ConstView labels,
            double scale, const DimDenoiser::TimeOfSigma& time, std::vector<double>& times)
      : both_(model, Twice(pictures), BothLabels(labels, model->config.num_classes), time, times),
        conditional_(model, pictures, Cast(labels, DType::kI32), time, times),
        guided_(both_, conditional_, {.scale = scale}) {}

  void Denoise(Context& ctx, ConstView x, double sigma, View denoised) override {
    guided_.Denoise(ctx, x, sigma, denoised);
  }

 private:
  static Shape Twice(Shape pictures) {
    pictures.Set(0, 2 * pictures[0]);
    return pictures;
  }
  static Tensor BothLabels(ConstView labels, int64_t null_class) {
    Tensor all({2 * labels.shape[0]}, DType::kI32);
    auto* to =
        std::fill_n(all.MutableData<int32_t>(), labels.shape[0], static_cast<int32_t>(null_class));
    std::copy_n(labels.Data<int32_t>(), labels.shape[0], to);
    return all;
  }

  DimDenoiser both_;
  DimDenoiser conditional_;
  GuidedDenoiser guided_;
};

// The picture that noise of unit power becomes.
Tensor Sample(Context& ctx, const std::string& method, Denoiser& denoiser, ConstView start,
              std::span<const double> sigmas, const NoiseSource& noise) {
  Tensor x = Cast(start, DType::kF32);
  // A process without signal left has unit power; samplers go by picture plus noise.
  const double factor = std::hypot(1, sigmas.front());
  for (int64_t i = 0; i < x.shape().numel(); ++i) {
    x.MutableData<float>()[i] =
        static_cast<float>(factor * static_cast<double>(x.Data<float>()[i]));
  }
  MakeSampler(method)(
      ctx, {.denoiser = denoiser, .x = x.mutable_view(), .sigmas = sigmas, .noise = noise});
  // The last level may not be 0: back to unit power.
  const double last = std::hypot(1, sigmas.back());
  for (int64_t i = 0; i < x.shape().numel(); ++i) {
    x.MutableData<float>()[i] = static_cast<float>(static_cast<double>(x.Data<float>()[i]) / last);
  }
  return x;
}

void SampleLatents(Context& ctx, ParityCase& parity_case,
                   const std::shared_ptr<const dim::Model>& model, bool upsample) {
  const Json& config = parity_case.config();
  const DiscreteVp process;
  const DimDenoiser::TimeOfSigma time = [&](double sigma) { return 1000 * process.TimeAt(sigma); };
  const Tensor& start = parity_case.At("in/noise");
  const Tensor labels = Cast(parity_case.At("in/y"), DType::kI32);
  const double scale = 1 + Get<double>(config, "scale");
  std::vector<double> times;
  GuidedDim large(model, start.shape(), labels, scale, time, times);
  // One level more than steps, all positive: the last model call is not the last level's.
  std::vector<double> sigmas =
      MakeSchedule("time_uniform")(Get<int64_t>(config, "sample_steps") + 1, 0, 0);
  sigmas.pop_back();
  const ReplayNoise none(Tensor(Shape{0, 1}, DType::kF32));
  const std::string method = std::string("dpm_singlestep:prediction=") +
                             (Get<bool>(config, "predict_x0") ? "data" : "noise");
  Tensor z;
  if (upsample) {
    const UpsampleGuidanceOptions options{.factor = Get<int64_t>(config, "multi_times"),
                                          .theta = Get<double>(config, "ug_theta"),
                                          .share = Get<double>(config, "ug_eta")};
    Require(Get<double>(config, "ug_T") == 1, ErrorKind::kUnsupported,
            "field 'ug_T': only 1 is supported");
    Shape shape = start.shape();
    for (const int axis : {2, 3}) shape.Set(axis, shape[axis] / options.factor);
    GuidedDim small(model, shape, labels, scale, time, times);
    UpsampleGuidedDenoiser denoiser(large, small, process, options);
    z = Sample(ctx, method, denoiser, start, sigmas, none);
  } else {
    z = Sample(ctx, method, large, start, sigmas, none);
  }
  parity_case.Compare("mid/net_times", VectorOf(times));
  parity_case.Compare("out/z", z);
}

void SamplePixels(Context& ctx, ParityCase& parity_case,
                  const std::shared_ptr<const dim::Model>& model) {
  const Json& config = parity_case.config();
  const double beta_min = Get<double>(config, "beta_min");
  const VpProcess process{.beta_d = Get<double>(config, "beta_max") - beta_min,
                          .beta_min = beta_min};
  const Tensor& start = parity_case.At("in/x_init");
  std::vector<double> times;
  Tensor classes({start.shape()[0]}, DType::kI32);
  std::fill_n(classes.MutableData<int32_t>(), classes.shape().numel(),
              static_cast<int32_t>(model->config.num_classes));
  DimDenoiser denoiser(
      model, start.shape(), std::move(classes),
      [&](double sigma) { return 999 * process.TimeAt(sigma); }, times);
  const std::string rates = fmt::format("beta_d={},beta_min={}", process.beta_d, process.beta_min);
  const std::vector<double> sigmas =
      MakeSchedule(fmt::format("vp:{},eps_s={}", rates, Get<double>(config, "eps")))(
          Get<int64_t>(config, "sample_steps"), 0, 0);
  const Tensor x = Sample(ctx, "euler_maruyama:" + rates, denoiser, start, sigmas,
                          ReplayNoise(parity_case.At("in/noise")));
  parity_case.Compare("out/x", x);
}

}  // namespace

void VerifyDimSample(Context& ctx, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const auto model = dim::Load(parity_case.ModelWeights(), Get<Json>(config, "nnet"),
                               parity_case.options().device, parity_case.options().dtype);
  const auto algorithm = Get<std::string>(config, "algorithm");
  if (algorithm == "dpm_solver") return SampleLatents(ctx, parity_case, model, false);
  if (algorithm == "dpm_solver_upsample_g") return SampleLatents(ctx, parity_case, model, true);
  if (algorithm == "euler_maruyama_sde") return SamplePixels(ctx, parity_case, model);
  Fail(ErrorKind::kUnsupported, "field 'algorithm': '{}' is unknown", algorithm);
}

}  // namespace gesso
