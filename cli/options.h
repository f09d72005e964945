// Options that several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/core/dtype.h"

namespace gesso {

// How the process computes: --device, --threads, --kernel, and --no-graphs where this build knows
// a device that records.
struct EngineOptions {
  std::string device = "cpu";
  std::optional<int> threads;
  std::vector<std::string> kernels;  // OP=NAME
  bool no_graphs = false;
  CLI::Option* graphs_option = nullptr;

  void AddTo(CLI::App& command);
  // Sets threads, forced kernels and whether passes are recorded. Throws kUsage, and kDevice for a
  // device this build lacks.
  void Apply() const;
  gesso::Device Device() const;  // as Apply
};

// Throws kUsage, with the reason, where `option` is on the command line but has no effect. What
// variables and the configuration file say for every run may be without one.
void RequireEffect(const CLI::Option& option, bool has_effect, std::string_view why);

}  // namespace gesso
