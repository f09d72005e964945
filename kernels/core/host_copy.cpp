#include "kernels/core/host_copy.h"

namespace gesso {

HostCopy::HostCopy(ConstView from) : view_(from) {
  CHECK(from.IsContiguous() && from.device != Device::kMeta);
  if (from.device == Device::kCpu) return;
  ObstacleWatch::Tell("the host looks at a result");
  bytes_.resize(from.bytes());
  CurrentBackend()->Read(bytes_.data(), from.data, bytes_.size());
  view_ = ConstView(bytes_.data(), from.shape, from.dtype);
}

}  // namespace gesso
