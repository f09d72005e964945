#include "samplers/upsample_guidance.h"

#include <array>
#include <cmath>
#include <limits>

#include "kernels/elementwise.h"
#include "kernels/resize.h"

namespace gesso {

namespace {

// [B, C, H, W] as B * C maps of one channel.
template <class AnyView>
AnyView Maps(AnyView x) {
  return x.Reshape({x.shape[0] * x.shape[1], x.shape[2], x.shape[3], 1});
}

// The step that the official code looks up for a time. A time that was a noise level in between
// carries rounding, which must not cost a step.
int64_t StepAt(double t) {
  return static_cast<int64_t>(t * static_cast<double>(DiscreteVp::kSteps) + 1e-6);
}

}  // namespace

UpsampleGuidedDenoiser::UpsampleGuidedDenoiser(Denoiser& large, Denoiser& small,
                                               const DiscreteVp& process,
                                               const UpsampleGuidanceOptions& options)
    : large_(large), small_(small), process_(process), options_(options) {
  Require(options.factor >= 2, ErrorKind::kUsage, "upsample guidance: the factor {} is below 2",
          options.factor);
  Require(options.share > 0 && options.share <= 0.9 && std::isfinite(options.theta),
          ErrorKind::kUsage, "upsample guidance: no share {} (0 .. 0.9) with strength {}",
          options.share, options.theta);
  // In float32, as officially: the step is one too low where the product rounds down.
  constexpr auto kSteps = static_cast<float>(DiscreteVp::kSteps);
  for (int64_t i = 0; i < DiscreteVp::kSteps; ++i) {
    const float t = static_cast<float>(DiscreteVp::kSteps - 1 - i) / kSteps;
    const double signal = process_.AlphaBar(static_cast<int64_t>(t * kSteps));
    signal_to_noise_.push_back(signal < 1 ? signal / (1 - signal)
                                          : std::numeric_limits<double>::infinity());
  }
}

double UpsampleGuidedDenoiser::SmallTimeAt(double t) const {
  const double signal = process_.AlphaBar(StepAt(t));
  const auto m = static_cast<double>(options_.factor);
  const double wanted = m * m * signal / (1 - signal);
  size_t nearest = 0;
  for (size_t i = 1; i < signal_to_noise_.size(); ++i) {
    const auto distance = [&](size_t j) { return std::abs(wanted - signal_to_noise_[j]); };
    if (distance(i) < distance(nearest)) nearest = i;
  }
  // The table's steps are 1 / 1000, but officially this is taken for 1 / 999.
  const double tau =
      1 - static_cast<double>(nearest) / static_cast<double>(signal_to_noise_.size() - 1);
  return std::min(tau, t);
}

void UpsampleGuidedDenoiser::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  const int64_t m = options_.factor;
  Require(x.shape.rank() == 4 && x.shape[2] % m == 0 && x.shape[3] % m == 0, ErrorKind::kUsage,
          "upsample guidance: {} does not divide the sides of pictures {}", m, x.shape);
  large_.Denoise(ctx, x, sigma, denoised);
  const double t = process_.TimeAt(sigma);
  // A dry run counts the dearest step.
  const bool dry = ctx.device == Device::kMeta;
  if (!dry && t < 1 - options_.share - 1e-9) return;
  const Arena::Scope scope(*ctx.arena);
  const Shape shape = {x.shape[0], x.shape[1], x.shape[2] / m, x.shape[3] / m};
  const View mean = ctx.arena->Alloc(shape, DType::kF32);           // of x
  const View mean_denoised = ctx.arena->Alloc(shape, DType::kF32);  // of denoised
  const View scaled = ctx.arena->Alloc(shape, DType::kF32);
  const View small = ctx.arena->Alloc(shape, DType::kF32);
  Resize(ctx, {.x = Maps(x), .resampling = Resampling::kArea, .out = Maps(mean)});
  Resize(ctx, {.x = Maps(ConstView(denoised)),
               .resampling = Resampling::kArea,
               .out = Maps(mean_denoised)});
  const double small_sigma = process_.SigmaAt(SmallTimeAt(t));
  const double signal = process_.AlphaBar(StepAt(t));
  const double power = signal + (1 - signal) / static_cast<double>(m * m);
  // From x = picture + sigma noise to unit power, and from there to the small picture's level.
  const double factor = std::hypot(1, small_sigma) / (std::hypot(1, sigma) * std::sqrt(power));
  const std::array<Term, 1> scale = {{{static_cast<float>(factor), mean}}};
  LinearCombination(ctx, {.terms = scale, .out = scaled});
  small_.Denoise(ctx, scaled, small_sigma, small);
  // sigma (eps_low / m - mean of eps), with eps = (x - D) / sigma.
  const double low = options_.theta * sigma / (small_sigma * static_cast<double>(m));
  const double high = options_.theta;
  const std::array<Term, 4> difference = {{{static_cast<float>(low), scaled},
                                           {static_cast<float>(-low), small},
                                           {static_cast<float>(-high), mean},
                                           {static_cast<float>(high), mean_denoised}}};
  LinearCombination(ctx, {.terms = difference, .out = small});
  const View correction = ctx.arena->Alloc(x.shape, DType::kF32);
  Resize(
      ctx,
      {.x = Maps(ConstView(small)), .resampling = Resampling::kNearest, .out = Maps(correction)});
  const std::array<Term, 2> corrected = {{{1, denoised}, {-1, correction}}};
  LinearCombination(ctx, {.terms = corrected, .out = denoised});
}

}  // namespace gesso
