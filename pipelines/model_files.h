// What model folders and bare checkpoints of all families have in common: where the config lies,
// and the settings that a folder presets.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "models/io/json.h"
#include "models/io/weights.h"
#include "pipelines/request.h"

namespace gesso {

struct NamedConfig {
  std::string source;  // for messages
  Json json;
};

// The config of a bare checkpoint: in its metadata, or beside it as <name>.json or config.json.
std::optional<NamedConfig> FindConfig(const Weights& weights);
// Throws kConfig, saying where was searched, where there is none.
NamedConfig ConfigOf(const Weights& weights);

// The field `defaults` of a folder's model_index.json, which may set the fields `presets`: how
// pictures are made, never what they show or which files and models take part. Throws kConfig.
Request ReadDefaults(const Json& index, const std::filesystem::path& index_path,
                     std::span<const std::string_view> presets);

}  // namespace gesso
