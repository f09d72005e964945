// Results of a device for the host to read at length. Memory that both share moves to who touches
// it, page by page, and back when the device goes on; a copy leaves it where it is.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/core/tensor.h"

namespace gesso {

// A contiguous view's elements in the host's own memory: a copy of a device's, after its work; the
// view itself where that is the host's.
class HostCopy {
 public:
  explicit HostCopy(ConstView from);
  HostCopy(const HostCopy&) = delete;
  HostCopy& operator=(const HostCopy&) = delete;

  ConstView view() const { return view_; }

 private:
  std::vector<std::byte> bytes_;
  ConstView view_;
};

}  // namespace gesso
