#include "cli/options.h"

#include <fmt/ranges.h>

#include "kernels/core/backend.h"
#include "kernels/core/error.h"
#include "kernels/core/op_table.h"
#include "kernels/core/parallel.h"
#include "kernels/devices.h"
#include "kernels/ops.h"

namespace gesso {

void EngineOptions::AddTo(CLI::App& command) {
  command
      .add_option("--device", device,
                  fmt::format("Where to compute: {}", fmt::join(DeviceNames(), " or ")))
      ->capture_default_str();
  command.add_option("--threads", threads, "CPU threads; all cores if absent");
  command.add_option("--kernel", kernels, "Force an implementation of an op, as OP=NAME")
      ->allow_extra_args(false);
  if (DeviceNames().size() == 1) return;  // nothing that records
  graphs_option = command.add_flag(
      "--no-graphs", no_graphs,
      "With --device cuda: give the GPU every pass op by op, instead of recording one as a CUDA "
      "graph and playing it; the results are the same");
}

void EngineOptions::Apply() const {
  Device();
  Backend* const backend = CurrentBackend();
  if (graphs_option != nullptr) {
    RequireEffect(*graphs_option, backend != nullptr, "without --device cuda");
  }
  if (backend != nullptr) backend->set_records(!no_graphs);
  if (threads) SetNumThreads(*threads);
  for (const std::string& kernel : kernels) {
    const size_t equals = kernel.find('=');
    Require(equals != std::string::npos, ErrorKind::kUsage, "--kernel: expected OP=NAME, got '{}'",
            kernel);
    const std::string op = kernel.substr(0, equals);
    const std::string implementation = kernel.substr(equals + 1);
    RequireImplementation(op, implementation);
    ForceImplementation(op, implementation);
  }
}

gesso::Device EngineOptions::Device() const { return UseDevice(device); }

void RequireEffect(const CLI::Option& option, bool has_effect, std::string_view why) {
  Require(option.count() == 0 || has_effect, ErrorKind::kUsage, "{}: has no effect {}",
          option.get_name(), why);
}

}  // namespace gesso
