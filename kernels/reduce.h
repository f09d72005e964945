// Reductions over whole tensors: what guidance and samplers go by. On the CPU sums are in double,
// in an order that does not depend on the number of threads.
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// x[b] *= share * deviation(reference[b]) / deviation(x[b]) + 1 - share, the standard deviations of
// all elements of a picture; a picture of deviation 0 stays as it is. Lin et al. 2023, "Common
// diffusion noise schedules and sample steps are flawed", section 3.4.
struct MatchDeviationArgs {
  ConstView reference;  // like x
  double share = 1;     // 0 .. 1
  View x;               // [B, ...] f32, contiguous
};
void MatchDeviation(Context& ctx, const MatchDeviationArgs& args);

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

const OpTable<MatchDeviationArgs>& MatchDeviationTable();
const OpTable<ScaledErrorArgs>& ScaledErrorTable();

}  // namespace gesso
