// gesso verify: recomputes parity cases and says which fall outside their tolerance.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "models/io/output_file.h"
#include "pipelines/request.h"
#include "pipelines/verify/case.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> cases;
  std::string dtype = "float32";
  bool json = false;
  EngineOptions engine;
};

// The files among `paths`, and the safetensors files of the folders among them.
std::vector<fs::path> FindCases(const std::vector<std::string>& paths) {
  std::vector<fs::path> files;
  for (const fs::path path : paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    const size_t before = files.size();
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
    }
    Require(files.size() > before, ErrorKind::kIo, "{}: holds no .safetensors file", path.string());
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(before), files.end());
  }
  return files;
}

struct Outcome {
  fs::path path;
  std::vector<Comparison> comparisons;
  std::string error;  // why it could not be recomputed, or empty
  int exit_code = 0;
};

Outcome Recompute(const fs::path& path, const VerifyOptions& options) {
  Outcome outcome{path, {}, "", 0};
  try {
    outcome.comparisons = Verify(path, options);
    const bool passed = std::ranges::all_of(outcome.comparisons, &Comparison::passed);
    outcome.exit_code = passed ? 0 : 1;
  } catch (const Error& error) {
    outcome.error = error.what();
    outcome.exit_code = ExitCode(error.kind());
  }
  return outcome;
}

Json AsJson(const Outcome& outcome) {
  Json line{{"case", outcome.path.string()}, {"passed", outcome.exit_code == 0}};
  if (!outcome.error.empty()) line["error"] = outcome.error;
  for (const Comparison& c : outcome.comparisons) {
    line["comparisons"].push_back(
        {{"name", c.name}, {"error", c.error}, {"tolerance", c.tolerance}});
  }
  return line;
}

// One line; of the comparisons, the one that is worst in terms of its tolerance.
std::string AsText(const Outcome& outcome) {
  if (!outcome.error.empty()) return fmt::format("ERROR {}\n", outcome.error);
  const auto worst = std::ranges::max_element(outcome.comparisons, {}, [](const Comparison& c) {
    return c.passed() ? (c.tolerance > 0 ? c.error / c.tolerance : 0.0)
                      : std::numeric_limits<double>::infinity();
  });
  return fmt::format("{}  {}  {} values compared, worst {}: {:.2e} of {:.0e}\n",
                     outcome.exit_code == 0 ? "ok   " : "FAIL ", outcome.path.string(),
                     outcome.comparisons.size(), worst->name, worst->error, worst->tolerance);
}

int Run(const Options& options) {
  options.engine.Apply();
  const VerifyOptions verify{.dtype = ParseDType(options.dtype), .device = options.engine.Device()};
  int exit_code = 0;
  for (const fs::path& path : FindCases(options.cases)) {
    const Outcome outcome = Recompute(path, verify);
    if (options.json) {
      PrintJson(AsJson(outcome));
    } else {
      WriteStdout(AsText(outcome));
    }
    if (exit_code == 0 || outcome.exit_code == 1) exit_code = outcome.exit_code;
  }
  return exit_code;
}

}  // namespace

void AddVerify(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("verify", "Recompute recorded reference outputs");
  command->add_option("case", options->cases, "Parity cases, or folders of them")->required();
  command->add_option("--dtype", options->dtype, "float32 or bfloat16")->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object a line");
  options->engine.AddTo(*command);
  command->footer(
      "Exit code 1 if any case falls outside its tolerance.\n"
      "Examples:\n"
      "  gesso verify tests/data\n"
      "  gesso verify --dtype bfloat16 hdit.single_level.safetensors");
  UseSettings(*command);
  command->callback([options, &chosen] { chosen = [options] { return Run(*options); }; });
}

}  // namespace gesso
