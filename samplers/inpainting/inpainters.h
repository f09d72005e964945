// The inpainters, one function a file, with their options.
#pragma once

#include <utility>
#include <vector>

#include "kernels/core/options.h"
#include "samplers/inpainting/inpainter.h"

namespace gesso {

struct ReplaceOptions {
  double threshold = 0.5;
  void Visit(OptionVisitor& visitor);
};

struct RepaintOptions {
  int64_t jump_length = 10;
  int64_t jump_n_sample = 10;
  double threshold = 0.5;
  void Visit(OptionVisitor& visitor);
};

struct DifferentialOptions {
  void Visit(OptionVisitor& /*visitor*/) {}
};

// Pixels of an amount from the threshold on are painted, the others held.
void InpaintByReplacement(Context& ctx, const InpaintRun& inpaint, const ReplaceOptions& options);
// The same, going back up and down again on the way, so that what is painted and what is held have
// time to agree.
void InpaintByResampling(Context& ctx, const InpaintRun& inpaint, const RepaintOptions& options);
// A pixel of amount 0 is held, another one for less than 1 - amount of the steps, and painted in
// the rest.
void InpaintDifferentially(Context& ctx, const InpaintRun& inpaint,
                           const DifferentialOptions& options);

// The moves of resampling over `steps` steps: from level index first down to second, and from there
// up to the first of the next one.
std::vector<std::pair<int64_t, int64_t>> RepaintMoves(int64_t steps, const RepaintOptions& options);

// The share of the steps of `sigmas` that lies behind at noise level `sigma`, 0 .. 1; between two
// levels in proportion.
double StepsBehind(std::span<const double> sigmas, double sigma);

}  // namespace gesso
