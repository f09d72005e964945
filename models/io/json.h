// JSON configuration files, with errors that name the file and the field.
#pragma once

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/core/error.h"

namespace gesso {

using Json = nlohmann::json;

// The whole file as bytes; throws kIo if it cannot be read or is larger than `limit` bytes.
std::string ReadFile(const std::filesystem::path& path, size_t limit);

// Throws kFormat, with the position, for text that is not JSON, repeats a key within an object or
// nests deeper than 64 levels.
Json ParseJson(std::string_view text, const std::string& name);
Json ReadJson(const std::filesystem::path& path);

namespace internal {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

[[noreturn]] void WrongType(const std::string& key, const Json& value, std::string_view expected);

// `value` as T, without the library's silent narrowing (1.5 or 2^40 as an int, true as 1).
template <class T>
T Convert(const Json& value, const std::string& key) {
  if constexpr (std::is_same_v<T, Json>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) WrongType(key, value, "true or false");
    return value.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    const bool fits = value.is_number_unsigned()
                          ? std::in_range<T>(value.get<uint64_t>())
                          : value.is_number_integer() && std::in_range<T>(value.get<int64_t>());
    if (!fits) WrongType(key, value, "an integer in range");
    return value.get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    const bool fits =
        value.is_number() && std::abs(value.get<double>()) <= double{std::numeric_limits<T>::max()};
    if (!fits) WrongType(key, value, "a number in range");
    return value.get<T>();
  } else if constexpr (IsVector<T>::value) {
    if (!value.is_array()) WrongType(key, value, "a list");
    T list;
    for (const Json& item : value) list.push_back(Convert<typename T::value_type>(item, key));
    return list;
  } else {
    static_assert(std::is_same_v<T, std::string>, "no conversion from JSON to this type");
    if (!value.is_string()) WrongType(key, value, "a text");
    return value.get<std::string>();
  }
}

}  // namespace internal

// config[key] as T (bool, a number, std::string, Json, or a vector of these); `fallback` where the
// key is absent or null. Throws kConfig for a wrong type or a number that does not fit.
template <class T>
T Get(const Json& config, const std::string& key, const T& fallback) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return fallback;
  return internal::Convert<T>(*found, key);
}

// config[key] as T; throws kConfig where it is absent or has the wrong type.
template <class T>
T Get(const Json& config, const std::string& key) {
  const auto found = config.find(key);
  Require(found != config.end() && !found->is_null(), ErrorKind::kConfig, "field '{}' is missing",
          key);
  return internal::Convert<T>(*found, key);
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
