// Reductions whose results the host looks at: what a sampler or guidance decides by. Sums are in
// double, in an order that does not depend on the number of threads.
#pragma once

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// deviations[b] = standard deviation of all elements of x[b] (divided by their number).
// On the meta device `deviations` stays as it is.
struct DeviationArgs {
  ConstView x;                   // [B, ...] f32, contiguous
  std::span<double> deviations;  // [B], on the host
};
void Deviation(Context& ctx, const DeviationArgs& args);

// *rms = root mean square of (a - b) / max(absolute, relative * max(|a|, |reference|)): the error
// estimate of an embedded pair of solvers. On the meta device *rms stays as it is.
struct ScaledErrorArgs {
  ConstView a;          // any shape, f32, contiguous
  ConstView b;          // as a
  ConstView reference;  // as a
  double absolute;      // > 0
  double relative;      // >= 0
  double* rms;          // on the host
};
void ScaledError(Context& ctx, const ScaledErrorArgs& args);

const OpTable<DeviationArgs>& DeviationTable();
const OpTable<ScaledErrorArgs>& ScaledErrorTable();

}  // namespace gesso
