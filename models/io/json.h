// JSON configuration files, with errors that name the file and the field.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/core/error.h"

namespace gesso {

using Json = nlohmann::json;

// The whole file as bytes; throws kIo if it cannot be read or is larger than `limit` bytes.
std::string ReadFile(const std::filesystem::path& path, size_t limit);

// Throws kFormat, with the position, for text that is not JSON or nests deeper than 64 levels.
Json ParseJson(std::string_view text, const std::string& name);
Json ReadJson(const std::filesystem::path& path);

// config[key] as T; `fallback` where the key is absent or null. Throws kConfig for a wrong type.
template <class T>
T Get(const Json& config, const std::string& key, const T& fallback) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return fallback;
  try {
    return found->get<T>();
  } catch (const nlohmann::json::exception& e) {
    Fail(ErrorKind::kConfig, "field '{}' has the wrong type: {}", key, e.what());
  }
}

// config[key] as T; throws kConfig where it is absent or has the wrong type.
template <class T>
T Get(const Json& config, const std::string& key) {
  const auto found = config.find(key);
  Require(found != config.end() && !found->is_null(), ErrorKind::kConfig, "field '{}' is missing",
          key);
  return Get<T>(config, key, T{});
}

}  // namespace gesso
