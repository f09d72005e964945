// In-painting by the amount of change: a grey mask says for how many of the steps a pixel is
// painted.
// Paper: Levin and Fried 2023, "Differential diffusion: giving each pixel its strength", section 3.
// Official source exx8/differential-diffusion SDXL/diff_pipe.py:
// StableDiffusionXLDiffImg2ImgPipeline.__call__ (masks = map > thresholds).
#include <algorithm>

#include "samplers/inpainting/held_pixels.h"
#include "samplers/inpainting/inpainters.h"

namespace gesso {

namespace {

constexpr double kLeast = 1e-6;  // above black, below the darkest grey

}  // namespace

double StepsBehind(std::span<const double> sigmas, double sigma) {
  const auto next = std::ranges::find_if(sigmas, [&](double level) { return level < sigma; });
  if (next == sigmas.begin()) return 0;  // noise was added on top
  const auto steps = static_cast<double>(sigmas.size() - 1);
  const auto index = static_cast<double>(next - sigmas.begin() - 1);
  if (next == sigmas.end()) return index / steps;
  const double high = *(next - 1);
  return (index + (high - sigma) / (high - *next)) / steps;
}

void InpaintDifferentially(Context& ctx, const InpaintRun& inpaint, const DifferentialOptions&) {
  const SamplerRun& run = inpaint.run;
  // Officially x is put back before a step, whose estimate then moves on from there: a pixel is
  // held through a step if it is put back at the end of it. What is black is held to the last.
  const double step = 1 / static_cast<double>(run.sigmas.size() - 1);
  HeldPixels held(run.denoiser, inpaint.known, inpaint.amount, [&](double sigma) {
    return std::max(1 - StepsBehind(run.sigmas, sigma) - step, kLeast);
  });
  inpaint.sample(ctx, {held, run.x, run.sigmas, run.noise, run.observer});
}

}  // namespace gesso
