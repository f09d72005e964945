#include "samplers/guidance.h"

#include <array>
#include <cmath>
#include <span>

#include "kernels/elementwise.h"
#include "kernels/reduce.h"

namespace gesso {

GuidedDenoiser::GuidedDenoiser(Denoiser& both, Denoiser& conditional,
                               const GuidanceOptions& options)
    : both_(both), conditional_(conditional), options_(options) {
  Require(std::isfinite(options.scale), ErrorKind::kUsage, "the guidance scale {} is not a number",
          options.scale);
  Require(options.rescale >= 0 && options.rescale <= 1, ErrorKind::kUsage,
          "guidance rescale must be 0 .. 1, not {}", options.rescale);
  Require(options.interval_low >= 0 && options.interval_low < options.interval_high,
          ErrorKind::kUsage, "the guidance interval must run from low to high, not from {} to {}",
          options.interval_low, options.interval_high);
}

bool GuidedDenoiser::IsGuidedAt(double sigma) const {
  return options_.scale != 1 && sigma > options_.interval_low && sigma <= options_.interval_high;
}

void GuidedDenoiser::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  // A dry run counts the dearest step, wherever the interval lies.
  const bool dry = ctx.device == Device::kMeta;
  if (!IsGuidedAt(dry ? options_.interval_high : sigma)) {
    return conditional_.Denoise(ctx, x, sigma, denoised);
  }
  Arena::Scope scope(*ctx.arena);
  const int64_t pictures = x.shape[0];
  Shape twice = x.shape;
  twice.Set(0, 2 * pictures);
  const View x_twice = ctx.arena->Alloc(twice, DType::kF32);
  const View estimates = ctx.arena->Alloc(twice, DType::kF32);
  const std::array<Term, 1> copy = {Term{.coefficient = 1, .x = x, .also = 1}};
  LinearCombination(ctx, {.terms = copy,
                          .out = x_twice.Slice(0, 0, pictures),
                          .also = x_twice.Slice(0, pictures, 2 * pictures)});
  both_.Denoise(ctx, x_twice, sigma, estimates);
  const View unconditional = estimates.Slice(0, 0, pictures);
  const View conditional = estimates.Slice(0, pictures, 2 * pictures);
  const std::array<Term, 2> terms = {Term{static_cast<float>(1 - options_.scale), unconditional},
                                     Term{static_cast<float>(options_.scale), conditional}};
  LinearCombination(ctx, {.terms = terms, .out = denoised});
  if (options_.rescale > 0) {
    MatchDeviation(ctx, {.reference = conditional, .share = options_.rescale, .x = denoised});
  }
}

}  // namespace gesso
