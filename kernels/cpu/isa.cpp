#include "kernels/isa.h"

#include <oneapi/dnnl/dnnl.hpp>

#include "hwy/highway.h"
#include "hwy/targets.h"
#include "kernels/core/error.h"

namespace gesso {

void LimitIsa(std::string_view name) {
  Require(name == "avx2" || name == "native", ErrorKind::kUsage,
          "--isa: '{}' is neither avx2 nor native", name);
  if (name == "native") return;
  // Highway numbers better targets lower. Not DisableTargets: in Highway 1.0 a later look at
  // SupportedTargets undoes it.
  hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~(static_cast<int64_t>(HWY_AVX2) - 1));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  const dnnl::status status = dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
  Require(status == dnnl::status::success, ErrorKind::kInternal,
          "--isa: oneDNN is already running, so its instructions cannot be limited");
}

}  // namespace gesso
