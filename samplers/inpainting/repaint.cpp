// In-painting by replacement with resampling: noise is put back on the way, and the way down taken
// again.
// Paper: Lugmayr et al. 2022, "RePaint: inpainting using denoising diffusion probabilistic models",
// algorithm 1 and appendix A.
// Official source andreas128/RePaint guided_diffusion/scheduler.py:get_schedule_jump,
// guided_diffusion/gaussian_diffusion.py:GaussianDiffusion.undo.
#include <array>
#include <cmath>
#include <functional>

#include "samplers/inpainting/held_pixels.h"
#include "samplers/inpainting/inpainters.h"

namespace gesso {

namespace {

// The noise of one pass over some levels.
class PassNoise : public NoiseSource {
 public:
  PassNoise(const NoiseSource& noise, int64_t pass)
      : noise_(noise), first_draw_(pass * kDrawsPerPass) {}

  NoiseDraw Draw(int64_t draw, double sigma, double sigma_next) const override {
    return noise_.Draw(first_draw_ + draw, sigma, sigma_next);
  }

 private:
  const NoiseSource& noise_;
  int64_t first_draw_;
};

// x at noise level `low` to x at level `high`.
void AddNoise(Context& ctx, const NoiseSource& noise, double low, double high, View x) {
  const std::array<Term, 1> terms = {Term{1, x}};
  AddUp(ctx, terms, std::sqrt(high * high - low * low), noise.Draw(0, high, low), x);
}

}  // namespace

void RepaintOptions::Visit(OptionVisitor& visitor) {
  visitor.Integer("jump_length", jump_length, 1, 10000, "steps gone back at a time");
  visitor.Integer("jump_n_sample", jump_n_sample, 1, 1000,
                  "how many times each part of the way is taken");
  visitor.Number("threshold", threshold, 0.001, 1,
                 "amount of change from which a pixel is painted");
}

std::vector<std::pair<int64_t, int64_t>> RepaintMoves(int64_t steps,
                                                      const RepaintOptions& options) {
  const int64_t length = options.jump_length;
  // Jumps yet to be made from a level with i + 1 steps before it.
  std::vector<int64_t> jumps(static_cast<size_t>(steps), 0);
  for (int64_t i = 0; i < steps - length; i += length) {
    jumps[static_cast<size_t>(i)] = options.jump_n_sample - 1;
  }
  std::vector<std::pair<int64_t, int64_t>> moves;
  int64_t first = 0;
  for (int64_t level = 1; level < steps; ++level) {
    int64_t& left = jumps[static_cast<size_t>(steps - 1 - level)];
    if (left == 0) continue;
    --left;
    moves.emplace_back(first, level);
    first = level -= length;
  }
  moves.emplace_back(first, steps);
  return moves;
}

void InpaintByResampling(Context& ctx, const InpaintRun& inpaint, const RepaintOptions& options) {
  const SamplerRun& run = inpaint.run;
  HeldPixels held(run.denoiser, inpaint.known, inpaint.amount,
                  [&](double) { return options.threshold; });
  const auto moves = RepaintMoves(static_cast<int64_t>(run.sigmas.size()) - 1, options);
  int64_t total = 0;
  for (const auto& [first, last] : moves) total += last - first;
  int64_t pass = 0;
  int64_t behind = 0;  // steps of the passes before
  int64_t shown = 0;
  int64_t steps = 0;
  const auto report = [&](const SamplerStep& step) {
    SamplerStep told = step;
    told.index = shown++;
    if (step.count != 0) told.count = total;
    told.progress = (static_cast<double>(behind) + step.progress * static_cast<double>(steps)) /
                    static_cast<double>(total);
    run.observer(told);
  };
  // By reference, as a copy would take memory in every pass.
  const Observer observer = run.observer ? Observer(std::cref(report)) : nullptr;
  for (size_t i = 0; i < moves.size(); ++i) {
    const auto [first, last] = moves[i];
    steps = last - first;
    const auto levels =
        run.sigmas.subspan(static_cast<size_t>(first), static_cast<size_t>(steps) + 1);
    const PassNoise down(run.noise, pass++);
    inpaint.sample(ctx, {held, run.x, levels, down, observer});
    behind += steps;
    if (i + 1 == moves.size()) return;
    const PassNoise up(run.noise, pass++);
    AddNoise(ctx, up, levels.back(), run.sigmas[static_cast<size_t>(moves[i + 1].first)], run.x);
  }
}

}  // namespace gesso
