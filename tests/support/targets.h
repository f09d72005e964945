// Runs a test body once for every Highway target that was compiled and this CPU has.
#pragma once

#include <hwy/targets.h>

#include <string>

#include "tests/support/ops.h"

namespace gesso::testing_support {

template <class Body>
void ForEachTarget(const Body& body) {
  for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    if (target != HWY_AVX2 && target != HWY_AVX3) continue;  // what kernels/CMakeLists.txt compiles
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace gesso::testing_support
