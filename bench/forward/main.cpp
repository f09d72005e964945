// gesso_bench_forward: times one forward pass of a model on given input, for bench/compare.py.
// Prints one JSON object; the result itself can be written for comparison.
#include "bench/forward/forward.h"
#include "bench/program.h"
#include "kernels/devices.h"

int main(int argc, char** argv) {
  gesso::bench::ForwardOptions options;
  std::string dtype = "float32";
  std::string device = "cpu";
  CLI::App app("Times one forward pass and prints JSON.", "gesso_bench_forward");
  app.add_option("model", options.model, "safetensors file with its config in the metadata")
      ->required();
  app.add_option("--input", options.input, "safetensors file with x, sigma and conditions")
      ->required();
  app.add_option("--output", options.output, "where the result goes, as safetensors");
  app.add_option("--repetitions", options.repetitions)->capture_default_str();
  app.add_option("--dtype", dtype)
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--device", device)
      ->check(CLI::IsMember(gesso::DeviceNames()))
      ->capture_default_str();
  return gesso::bench::RunProgram(app, argc, argv, [&] {
    options.device = gesso::UseDevice(device);
    options.dtype = dtype == "bfloat16" ? gesso::DType::kBF16 : gesso::DType::kF32;
    fmt::print("{}\n", ToJson(MeasureForward(options)).dump());
  });
}
