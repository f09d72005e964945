// gesso_bench_forward: times one forward pass of a model on given input, for bench/compare.py.
// Prints one JSON object; the result itself can be written for comparison.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "bench/forward/forward.h"
#include "kernels/core/parallel.h"
#include "kernels/isa.h"

namespace {

int Run(int argc, char** argv) {
  gesso::bench::ForwardOptions options;
  std::string dtype = "float32";
  std::string isa = "native";
  int threads = gesso::NumThreads();
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
  app.add_option("--isa", isa)->check(CLI::IsMember({"native", "avx2"}))->capture_default_str();
  app.add_option("--threads", threads)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : gesso::ExitCode(gesso::ErrorKind::kUsage);
  }
  gesso::LimitIsa(isa);
  gesso::SetNumThreads(threads);
  options.dtype = dtype == "bfloat16" ? gesso::DType::kBF16 : gesso::DType::kF32;
  fmt::print("{}\n", ToJson(MeasureForward(options)).dump());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const gesso::Error& error) {
    fmt::print(stderr, "gesso_bench_forward: {}\n", error.what());
    return gesso::ExitCode(error.kind());
  }
}
