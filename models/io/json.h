// JSON configuration files, with errors that name the file and the field.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
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

// config[key] as a number in [low, high]; `fallback` where the key is absent or null. Throws
// kConfig where there is no fallback either, and for other types, fractions and values out of
// range: no field of a hostile file overflows what is computed from it.
int64_t GetInt(const Json& config, const std::string& key, int64_t low, int64_t high,
               std::optional<int64_t> fallback = std::nullopt);
double GetNumber(const Json& config, const std::string& key, double low, double high,
                 std::optional<double> fallback = std::nullopt);

// `value` as an integer in [low, high]; `what` names it in the kConfig error.
int64_t ToInt(const Json& value, const std::string& what, int64_t low, int64_t high);

}  // namespace gesso
