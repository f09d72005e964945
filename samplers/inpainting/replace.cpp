// In-painting by replacement.
// Paper: Song et al. 2021, "Score-based generative modeling through stochastic differential
// equations", section 5 and appendix I.2.
#include "samplers/inpainting/held_pixels.h"
#include "samplers/inpainting/inpainters.h"

namespace gesso {

void ReplaceOptions::Visit(OptionVisitor& visitor) {
  visitor.Number("threshold", threshold, 0.001, 1,
                 "amount of change from which a pixel is painted");
}

void InpaintByReplacement(Context& ctx, const InpaintRun& inpaint, const ReplaceOptions& options) {
  const SamplerRun& run = inpaint.run;
  HeldPixels held(run.denoiser, inpaint.known, inpaint.amount,
                  [&](double) { return options.threshold; });
  inpaint.sample(ctx, {held, run.x, run.sigmas, run.noise, run.observer});
}

}  // namespace gesso
