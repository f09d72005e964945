// What an op needs to run besides its arguments; passed explicitly, there are no globals.
#pragma once

#include <string_view>

#include "kernels/core/arena.h"
#include "kernels/core/device.h"
#include "kernels/core/profile.h"

namespace gesso {

// Receives named intermediate values: parity cases and debugging look inside a model with it.
class Tap {
 public:
  virtual ~Tap() = default;
  virtual void Record(std::string_view name, ConstView value) = 0;
};

struct Context {
  Device device = Device::kCpu;
  Arena* arena = nullptr;        // activations; always set
  Profiler* profiler = nullptr;  // optional: times and counts every op
  Tap* tap = nullptr;            // optional

  // Shows `value` to the tap, if there is one.
  void Show(std::string_view name, ConstView value) const {
    if (tap != nullptr && device != Device::kMeta) tap->Record(name, value);
  }
};

}  // namespace gesso
