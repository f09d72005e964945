// gesso bench: times a model on this machine, with a table of its ops.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "kernels/core/backend.h"
#include "kernels/core/parallel.h"
#include "kernels/peaks.h"
#include "models/io/output_file.h"
#include "pipelines/generator.h"
#include "pipelines/installed_models.h"
#include "pipelines/model_cost.h"

namespace gesso {

namespace {

struct Options {
  std::string model{kDefaultModel};
  std::vector<int64_t> sizes;  // sides of square pictures
  int64_t batch = 1;
  int64_t repeats = 10;
  std::string dtype = "float32";
  bool json = false;
  EngineOptions engine;
};

template <class Work>
double SecondsOf(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

constexpr int64_t kPeakSide = 8192;  // of the product that GPUs are measured with

// Shares of what the device was measured to do, if it was.
Json OpsJson(const Profiler& profiler, int64_t passes, const std::optional<DevicePeaks>& peaks) {
  Json ops = Json::array();
  for (const auto& [name, entry] : profiler.entries()) {
    ops.push_back({{"op", name},
                   {"calls", entry.calls / passes},
                   {"ms", entry.seconds * 1e3 / static_cast<double>(passes)},
                   {"gflop_per_s", entry.cost.flops / entry.seconds * 1e-9},
                   {"gb_per_s", entry.cost.bytes / entry.seconds * 1e-9}});
    if (!peaks) continue;
    ops.back()["of_product"] = entry.cost.flops / entry.seconds / peaks->flops;
    ops.back()["of_copy"] = entry.cost.bytes / entry.seconds / peaks->bytes;
  }
  std::sort(ops.begin(), ops.end(), [](const Json& a, const Json& b) { return a["ms"] > b["ms"]; });
  return ops;
}

Json MeasureSize(const DiffusionModel& model, const Request& request, const Options& options,
                 const std::optional<DevicePeaks>& peaks) {
  Profiler profiler;
  const double seconds =
      TimePass(model, request, options.batch, options.engine.Device(), options.repeats, profiler);
  const PassCost cost = CountPass(model, request, options.batch);
  return {{"width", *request.width},
          {"height", *request.height},
          {"batch", options.batch},
          {"ms", seconds * 1e3},
          {"steps_per_s", 1 / seconds},
          {"gflop_per_s", cost.flops / seconds * 1e-9},
          {"ops", OpsJson(profiler, options.repeats, peaks)}};
}

std::string AsText(const Json& size) {
  std::string text = fmt::format(
      "\n{} x {}, batch {}: one forward pass {:.2f} ms, {:.1f} steps/s, {:.1f} GFLOP/s\n",
      size["width"].dump(), size["height"].dump(), size["batch"].dump(), size["ms"].get<double>(),
      size["steps_per_s"].get<double>(), size["gflop_per_s"].get<double>());
  text += fmt::format("  {:<34}{:>6}{:>10}{:>9}{:>9}\n", "op/implementation", "calls", "ms",
                      "GFLOP/s", "GB/s");
  for (const Json& op : size["ops"]) {
    text += fmt::format("  {:<34}{:>6}{:>10.3f}{:>9.1f}{:>9.1f}", op["op"].get<std::string>(),
                        op["calls"].dump(), op["ms"].get<double>(), op["gflop_per_s"].get<double>(),
                        op["gb_per_s"].get<double>());
    if (op.contains("of_copy")) {
      text += fmt::format("  {:5.1f}% of the product's, {:5.1f}% of the copy's",
                          100 * op["of_product"].get<double>(), 100 * op["of_copy"].get<double>());
    }
    text += "\n";
  }
  return text;
}

// What a GPU does at best, and whether passes on it are recorded.
Json DeviceJson(const Backend& backend, const DevicePeaks& peaks) {
  return {{"name", backend.Describe()},
          {"product_gflop_per_s", peaks.flops * 1e-9},
          {"copy_gb_per_s", peaks.bytes * 1e-9},
          {"records", backend.records()}};
}

std::string AsText(const Backend& backend) {
  if (!backend.records()) return "passes are not recorded: --no-graphs\n";
  std::string text = backend.obstacles().empty() ? "passes are recorded as CUDA graphs\n" : "";
  for (const std::string& obstacle : backend.obstacles()) {
    text += fmt::format("passes are not recorded: {}\n", obstacle);
  }
  return text;
}

int Run(const Options& options) {
  options.engine.Apply();
  const Device device = options.engine.Device();
  Request request;
  request.model = options.model;
  request.dtype = options.dtype;
  request.prompt = "a red apple and a cat";
  DiffusionModel model;
  const double load = SecondsOf([&] {
    model = LoadDiffusionModel(FindModel(options.model), device, ParseDType(options.dtype));
  });
  if (model.text == nullptr) request.prompt = "";
  Generator generator(device);
  request = generator.Resolve(request);
  const double condition = SecondsOf([&] { EncodedPrompt(model, request); });
  Json report = {{"model", options.model},           {"dtype", options.dtype},
                 {"threads", NumThreads()},          {"load_ms", load * 1e3},
                 {"conditions_ms", condition * 1e3}, {"sizes", Json::array()}};
  if (!options.json) {
    WriteStdout(fmt::format("{}, {}, {} threads: load {:.1f} ms, conditions {:.1f} ms\n",
                            options.model, options.dtype, NumThreads(), load * 1e3,
                            condition * 1e3));
  }
  Backend* const backend = CurrentBackend();
  std::optional<DevicePeaks> peaks;
  if (backend != nullptr) {
    peaks = MeasurePeaks(device, ParseDType(options.dtype), kPeakSide);
    report["device"] = DeviceJson(*backend, *peaks);
    if (!options.json) {
      WriteStdout(fmt::format("{}: product {:.1f} TFLOP/s, copy {:.0f} GB/s\n", backend->Describe(),
                              peaks->flops * 1e-12, peaks->bytes * 1e-9));
    }
  }
  std::vector<int64_t> sizes = options.sizes;
  if (sizes.empty()) sizes = {0};  // the model's own
  for (const int64_t side : sizes) {
    if (side > 0) {
      request.width = request.height = side;
      request = generator.Resolve(request);
    }
    const Json size = MeasureSize(model, request, options, peaks);
    if (!options.json) WriteStdout(AsText(size));
    report["sizes"].push_back(size);
  }
  if (backend != nullptr) {
    report["device"]["obstacles"] = backend->obstacles();
    if (!options.json) WriteStdout(AsText(*backend));
  }
  if (options.json) PrintJson(report);
  return 0;
}

}  // namespace

void AddBench(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "Time a model on this machine");
  const auto positive = CLI::Range(int64_t{1}, int64_t{100000});
  command->add_option("-m,--model", options->model, "Installed model or path of one")
      ->capture_default_str();
  command->add_option("--size", options->sizes, "Side of square pictures, may be given again")
      ->allow_extra_args(false)
      ->check(positive);
  command->add_option("-b,--batch-count", options->batch, "Pictures in one forward pass")
      ->check(positive)
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "Forward passes to time; the fastest counts")
      ->check(positive)
      ->capture_default_str();
  command->add_option("--dtype", options->dtype, "float32 or bfloat16")->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  options->engine.AddTo(*command);
  command->footer(
      "Examples:\n"
      "  gesso bench\n"
      "  gesso bench --size 128 --size 256 --dtype bfloat16 --threads 2");
  UseSettings(*command);
  command->callback([options, &chosen] { chosen = [options] { return Run(*options); }; });
}

}  // namespace gesso
