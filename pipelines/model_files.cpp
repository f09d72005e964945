#include "pipelines/model_files.h"

#include <algorithm>
#include <array>

#include "samplers/registry.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

std::array<fs::path, 2> ConfigPaths(const Weights& weights) {
  return {fs::path(weights.path).replace_extension(".json"),
          weights.path.parent_path() / "config.json"};
}

// What a checkpoint without config may be that was taken for a model, for the end of a message.
std::string_view HintOf(const Weights& weights) {
  const bool is_tokenizer = std::ranges::any_of(weights.tensors, [](const auto& item) {
    return item.first.find("decoder.conv_in.") != std::string::npos;
  });
  return is_tokenizer
             ? "; it looks like the image tokenizer (VQVAE) of a next-scale model: give the "
               "file of the transformer that was trained with it"
             : "";
}

}  // namespace

std::optional<NamedConfig> FindConfig(const Weights& weights) {
  const auto found = weights.metadata.find("config");
  if (found != weights.metadata.end()) {
    const std::string source = weights.path.string() + " (config)";
    return NamedConfig{source, ParseJson(found->second, source)};
  }
  for (const fs::path& path : ConfigPaths(weights)) {
    std::error_code error;
    if (fs::exists(path, error)) return NamedConfig{path.string(), ReadJson(path)};
  }
  return std::nullopt;
}

NamedConfig ConfigOf(const Weights& weights) {
  std::optional<NamedConfig> config = FindConfig(weights);
  const std::array<fs::path, 2> paths = ConfigPaths(weights);
  Require(config.has_value(), ErrorKind::kConfig,
          "{}: has no model config in its metadata, and there is neither {} nor {}{}",
          weights.path.string(), paths[0].string(), paths[1].string(), HintOf(weights));
  return *std::move(config);
}

Request ReadDefaults(const Json& index, const fs::path& index_path,
                     std::span<const std::string_view> presets) {
  const auto found = index.find("defaults");
  if (found == index.end()) return {};
  const std::string source = index_path.string() + ", defaults";
  Require(found->is_object(), ErrorKind::kConfig, "{}: expected an object", source);
  for (const auto& [name, value] : found->items()) {
    Require(std::ranges::find(presets, name) != presets.end(), ErrorKind::kConfig,
            "{}: a model cannot preset '{}'", source, name);
  }
  try {
    Request defaults = RequestFromJson(*found, source);
    WithContext(source, [&] {
      if (defaults.sampling_method) MakeSampler(*defaults.sampling_method);
      if (defaults.scheduler) MakeSchedule(*defaults.scheduler);
    });
    return defaults;
  } catch (const Error& error) {  // a fault of the file, not of the user
    throw Error(ErrorKind::kConfig, error.what());
  }
}

}  // namespace gesso
