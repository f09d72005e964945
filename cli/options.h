// Options that several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/core/dtype.h"

namespace gesso {

// How the process computes: --device, --threads, --kernel.
struct EngineOptions {
  std::string device = "cpu";
  std::optional<int> threads;
  std::vector<std::string> kernels;  // OP=NAME

  void AddTo(CLI::App& command);
  // Sets threads and forced kernels. Throws kUsage, and kDevice for a device this build lacks.
  void Apply() const;
  gesso::Device Device() const;  // as Apply
};

}  // namespace gesso
