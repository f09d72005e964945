#include "samplers/inpainting/held_pixels.h"

#include "kernels/blend.h"

namespace gesso {

void HeldPixels::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  inner_.Denoise(ctx, x, sigma, denoised);
  Hold(ctx, {.known = known_, .amount = amount_, .threshold = threshold_(sigma), .out = denoised});
}

}  // namespace gesso
