// Recomputes the cases of the Hourglass Diffusion Transformer: the raw network F, the denoiser D
// around it, and classifier-free guidance over that.
#include <algorithm>
#include <array>

#include "kernels/elementwise.h"
#include "models/hdit/session.h"
#include "pipelines/verify/systems.h"
#include "samplers/parameterisation.h"

namespace gesso {

namespace {

ConstView Optional(const ParityCase& parity_case, const std::string& name) {
  return parity_case.Has(name) ? parity_case.At(name).view() : ConstView();
}

// Everything in the case but the augmentation, which only the raw network gets.
hdit::Conditioning ConditioningOf(const ParityCase& parity_case) {
  return {.aug_cond = {},
          .class_cond = Optional(parity_case, "in/class_cond"),
          .mapping_cond = Optional(parity_case, "in/mapping_cond"),
          .context = Optional(parity_case, "in/context"),
          .context_mask = Optional(parity_case, "in/context_mask")};
}

void CompareRaw(Context& ctx, ParityCase& parity_case, hdit::Session& session,
                std::span<const double> sigma) {
  hdit::Conditioning conditioning = ConditioningOf(parity_case);
  conditioning.aug_cond = Optional(parity_case, "in/aug_cond");
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  session.Condition(tapped, conditioning);
  Tensor f(session.pictures(), DType::kF32);
  session.Forward(tapped, parity_case.At("in/x"), sigma, f.mutable_view());
  parity_case.Compare("out/f", f);
}

// The denoiser under `conditioning`, without augmentation as in sampling.
Tensor Denoised(Context& ctx, const ParityCase& parity_case, hdit::Session& session,
                const hdit::Conditioning& conditioning, std::span<const double> sigma) {
  session.Condition(ctx, conditioning);
  const Network network = [&session](Context& c, ConstView x, std::span<const double> s, View out) {
    session.Forward(c, x, s, out);
  };
  KarrasDenoiser denoiser(network, session.model().config.sigma_data);
  Tensor denoised(session.pictures(), DType::kF32);
  denoiser.Denoise(ctx, parity_case.At("in/x_noised"), sigma, denoised.mutable_view());
  return denoised;
}

void CompareGuided(Context& ctx, ParityCase& parity_case, hdit::Session& session,
                   const Tensor& conditional, std::span<const double> sigma) {
  Tensor no_class(parity_case.At("in/class_cond").shape(), DType::kI32);
  const auto none = static_cast<int32_t>(session.model().config.num_classes);
  std::fill_n(no_class.MutableData<int32_t>(), no_class.view().numel(), none);
  hdit::Conditioning conditioning = ConditioningOf(parity_case);
  conditioning.class_cond = no_class;
  Tensor guided = Denoised(ctx, parity_case, session, conditioning, sigma);
  const float scale = *parity_case.At("in/cfg_scale").Data<float>();
  const std::array<Term, 2> mix = {{{1 - scale, guided}, {scale, conditional}}};
  LinearCombination(ctx, {.terms = mix, .out = guided.mutable_view()});
  parity_case.Compare("out/denoised_cfg", guided);
}

}  // namespace

void VerifyHdit(Context& ctx, ParityCase& parity_case) {
  const VerifyOptions& options = parity_case.options();
  const auto model =
      hdit::Load(parity_case.ModelWeights(), parity_case.config(), options.device, options.dtype);
  const Tensor levels = Cast(parity_case.At("in/sigma"), DType::kF64);
  const std::span<const double> sigma(levels.Data<double>(),
                                      static_cast<size_t>(levels.view().numel()));
  hdit::Session session(model, parity_case.At("in/x").shape());
  CompareRaw(ctx, parity_case, session, sigma);
  const Tensor denoised = Denoised(ctx, parity_case, session, ConditioningOf(parity_case), sigma);
  parity_case.Compare("out/denoised", denoised);
  if (parity_case.Has("out/denoised_cfg")) {
    CompareGuided(ctx, parity_case, session, denoised, sigma);
  }
}

}  // namespace gesso
