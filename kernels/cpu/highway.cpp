#include "kernels/cpu/highway.h"

#include "hwy/highway.h"
#include "hwy/targets.h"

namespace gesso::cpu {

std::optional<std::string_view> WhyNoVectors() {
  static const bool supported = (hwy::SupportedTargets() & HWY_TARGETS) != 0;
  if (supported) return std::nullopt;
  return "this CPU lacks AVX2";
}

}  // namespace gesso::cpu
