#include "cli/options.h"

#include "kernels/core/error.h"
#include "kernels/core/op_table.h"
#include "kernels/core/parallel.h"

namespace gesso {

void EngineOptions::AddTo(CLI::App& command) {
  command.add_option("--device", device, "Where to compute: cpu")->capture_default_str();
  command.add_option("--threads", threads, "CPU threads; all cores if absent");
  command.add_option("--kernel", kernels, "Force an implementation of an op, as OP=NAME")
      ->allow_extra_args(false);
}

void EngineOptions::Apply() const {
  Device();
  if (threads) SetNumThreads(*threads);
  for (const std::string& kernel : kernels) {
    const size_t equals = kernel.find('=');
    Require(equals != std::string::npos, ErrorKind::kUsage, "--kernel: expected OP=NAME, got '{}'",
            kernel);
    ForceImplementation(kernel.substr(0, equals), kernel.substr(equals + 1));
  }
}

gesso::Device EngineOptions::Device() const {
  Require(device != "cuda", ErrorKind::kDevice, "--device cuda: this build has no CUDA support");
  Require(device == "cpu", ErrorKind::kUsage, "--device: there is no device '{}' (choices: cpu)",
          device);
  return gesso::Device::kCpu;
}

}  // namespace gesso
