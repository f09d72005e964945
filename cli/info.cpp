// gesso info: what a model or a weights file is.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "kernels/devices.h"
#include "models/io/checkpoint_files.h"
#include "models/io/output_file.h"
#include "models/io/printable.h"
#include "models/io/weights.h"
#include "pipelines/generator.h"
#include "pipelines/installed_models.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string what;
  Request request;  // size, arithmetic and policies
  bool tensors = false;
  bool devices = false;
  bool json = false;
  std::vector<const CLI::Option*> of_models;  // that say what forward pass is counted
};

Json ShapeJson(const Shape& shape) {
  const auto dims = shape.dims();
  return std::vector<int64_t>(dims.begin(), dims.end());
}

// Whether a weights file is a model by itself: with a config, or of a family known by its tensors.
bool IsModel(const Weights& weights) {
  if (weights.metadata.contains("system")) return false;  // a parity case
  if (weights.metadata.contains("config")) return true;
  const auto& families = PictureFamilies();
  return std::any_of(families.begin(), families.end() - 1,
                     [&](const PictureFamily& family) { return family.recognises(weights); });
}

// One weights file: what it holds, and its tensors if asked for.
Json DescribeFile(const fs::path& path, bool with_tensors) {
  const Weights weights = OpenWeights(path);
  int64_t values = 0;
  int64_t bytes = 0;
  std::map<std::string, int64_t> dtypes;  // number of tensors
  Json tensors = Json::array();
  for (const auto& [name, tensor] : weights.tensors) {
    values += tensor.view().numel();
    bytes += static_cast<int64_t>(tensor.view().bytes());
    ++dtypes[std::string(NameOf(tensor.dtype()))];
    if (with_tensors) {
      tensors.push_back({{"name", name},
                         {"dtype", NameOf(tensor.dtype())},
                         {"shape", ShapeJson(tensor.shape())}});
    }
  }
  Json description = {{"file", weights.path.string()},
                      {"tensors", weights.tensors.size()},
                      {"values", values},
                      {"bytes", bytes},
                      {"dtypes", dtypes},
                      {"metadata", weights.metadata}};
  if (with_tensors) description["list"] = std::move(tensors);
  return description;
}

// A model that can make pictures: its nature, and the cost of one forward pass. Throws what stands
// in the way.
Json DescribeModel(const fs::path& path, const Options& options) {
  Request request = options.request;
  request.model = path.string();
  request.prompt = "";
  Generator generator(Device::kCpu);
  request = generator.Resolve(request);
  const PictureModel& model = generator.ModelOf(request);
  Json description = {{"model", path.string()}};
  description.update(model.Describe(request));
  description["defaults"] = ToJson(model.defaults());
  return description;
}

std::string AsText(const Json& description) {
  std::string text;
  for (const auto& [key, value] : description.items()) {
    if (key == "list") continue;
    const std::string written = value.is_string() ? value.get<std::string>() : value.dump();
    text += fmt::format("{:<24}{}\n", key, Printable(written, 2000));
  }
  if (const auto list = description.find("list"); list != description.end()) {
    for (const Json& tensor : *list) {
      text += fmt::format("  {:<10} {:<20} {}\n", tensor["dtype"].get<std::string>(),
                          tensor["shape"].dump(), Printable(tensor["name"].get<std::string>()));
    }
  }
  return text;
}

// The weights files in all parts of a model's folder, or the checkpoint itself.
std::vector<fs::path> WeightsFiles(const fs::path& path) {
  if (!fs::exists(path / "model_index.json")) return {path};
  std::vector<fs::path> files;
  for (const fs::directory_entry& part : fs::directory_iterator(path)) {
    if (part.is_directory()) std::ranges::copy(CheckpointsIn(part), std::back_inserter(files));
  }
  std::ranges::sort(files);
  return files;
}

int Run(const Options& options) {
  if (options.devices) {
    WriteStdout(DescribeDevices());
    return 0;
  }
  Require(!options.what.empty(), ErrorKind::kUsage,
          "file: name a model or a weights file, or ask for --devices");
  const fs::path path = FindModel(options.what);
  Json descriptions = Json::array();
  for (const fs::path& file : WeightsFiles(path)) {
    descriptions.push_back(DescribeFile(file, options.tensors));
  }
  std::optional<Json> model;
  if (fs::is_directory(path)) {
    model = DescribeModel(path, options);
  } else if (IsModel(OpenWeights(path))) {
    try {
      model = DescribeModel(path, options);
    } catch (const Error& error) {
      // Weights that are no model by themselves, as a part of one, are still worth looking at.
      if (ExitCode(error.kind()) != ExitCode(ErrorKind::kFormat)) throw;
      descriptions.front()["no_model_because"] = error.what();
    }
  }
  if (model) {
    descriptions.insert(descriptions.begin(), *model);
  } else {
    for (const CLI::Option* option : options.of_models) {
      RequireEffect(*option, false, "on weights that are no model by themselves");
    }
  }
  for (const Json& description : descriptions) {
    if (options.json) {
      PrintJson(description);
    } else {
      WriteStdout(AsText(description) + "\n");
    }
  }
  return 0;
}

}  // namespace

void AddInfo(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("info", "Show what a model or a weights file is");
  std::vector<CLI::Option*> of_files = {
      command->add_option("file", options->what, "Installed model, model folder or weights file"),
      command->add_flag("--tensors", options->tensors, "List every tensor"),
      command->add_flag("--json", options->json, "One JSON object a line")};
  Request& request = options->request;
  for (CLI::Option* option : {
           command->add_option("-W,--width", request.width, "Width of the counted forward pass"),
           command->add_option("-H,--height", request.height, "Its height"),
           command->add_option("--dtype", request.dtype, "Its arithmetic: float32 or bfloat16"),
           command->add_option("--cache", request.cache, "Policies that save work in it"),
       }) {
    of_files.push_back(option);
    options->of_models.push_back(option);
  }
  CLI::Option* devices = command->add_flag("--devices", options->devices,
                                           "Show where this machine can compute instead");
  for (CLI::Option* option : of_files) devices->excludes(option);
  command->footer(
      "Examples:\n"
      "  gesso info demo-hdit\n"
      "  gesso info --tensors model.safetensors\n"
      "  gesso info --devices");
  UseSettings(*command);
  command->callback([options, &chosen] { chosen = [options] { return Run(*options); }; });
}

}  // namespace gesso
