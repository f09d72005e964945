#include "models/io/json.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <vector>

#include "models/io/printable.h"
#include "models/io/waiting.h"

namespace gesso {

std::string ReadFile(const std::filesystem::path& path, size_t limit) {
  std::error_code error;
  Require(!std::filesystem::is_directory(path, error), ErrorKind::kIo, "{}: is a folder",
          path.string());
  std::optional<Waiting> waiting;
  if (std::filesystem::is_other(path, error)) waiting.emplace();  // a pipe or terminal
  std::ifstream file(path, std::ios::binary);
  Require(file.good(), ErrorKind::kIo, "{}: cannot be opened ({})", path.string(),
          std::filesystem::exists(path, error) ? "no permission?" : "no such file");
  std::string text;
  char block[1 << 16];
  while (file.read(block, sizeof(block)), file.gcount() > 0) {
    text.append(block, static_cast<size_t>(file.gcount()));
    Require(text.size() <= limit, ErrorKind::kFormat, "{}: is larger than {} bytes", path.string(),
            limit);
  }
  return text;
}

Json ParseJson(std::string_view text, const std::string& name) {
  // The JSON library takes a zero byte for the end of its input.
  Require(text.find('\0') == std::string_view::npos, ErrorKind::kFormat,
          "{}: not valid JSON: it holds a zero byte", name);
  constexpr int kMaxDepth = 64;
  std::vector<std::set<std::string>> keys;  // seen in each object that is open
  const auto check = [&](int depth, Json::parse_event_t event, const Json& value) {
    Require(depth <= kMaxDepth, ErrorKind::kFormat, "{}: JSON nests deeper than {} levels", name,
            kMaxDepth);
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key) {
      Require(keys.back().insert(value.get<std::string>()).second, ErrorKind::kFormat,
              "{}: duplicate key '{}'", name, Printable(value.get<std::string>()));
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const nlohmann::json::exception& e) {
    Fail(ErrorKind::kFormat, "{}: not valid JSON: {}", name, Printable(e.what(), 300));
  }
}

Json ReadJson(const std::filesystem::path& path) {
  constexpr size_t kLimit = size_t{64} << 20;
  return ParseJson(ReadFile(path, kLimit), path.string());
}

namespace {

// A value for an error message, cut short.
std::string Excerpt(const Json& value) {
  return Printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 40);
}

// config[key], or nullptr where the fallback applies.
const Json* Find(const Json& config, const std::string& key, bool has_fallback) {
  const auto found = config.find(key);
  const bool present = found != config.end() && !found->is_null();
  Require(present || has_fallback, ErrorKind::kConfig, "field '{}' is missing", key);
  return present ? &*found : nullptr;
}

}  // namespace

int64_t ToInt(const Json& value, const std::string& what, int64_t low, int64_t high) {
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= static_cast<uint64_t>(std::max<int64_t>(high, 0))
                        : value.is_number_integer();
  Require(fits && value.get<int64_t>() >= low && value.get<int64_t>() <= high, ErrorKind::kConfig,
          "{} must be an integer from {} to {}, got {}", what, low, high, Excerpt(value));
  return value.get<int64_t>();
}

int64_t GetInt(const Json& config, const std::string& key, int64_t low, int64_t high,
               std::optional<int64_t> fallback) {
  const Json* value = Find(config, key, fallback.has_value());
  return value == nullptr ? *fallback : ToInt(*value, "field '" + key + "'", low, high);
}

double GetNumber(const Json& config, const std::string& key, double low, double high,
                 std::optional<double> fallback) {
  const Json* value = Find(config, key, fallback.has_value());
  if (value == nullptr) return *fallback;
  Require(value->is_number() && value->get<double>() >= low && value->get<double>() <= high,
          ErrorKind::kConfig, "field '{}' must be a number from {} to {}, got {}", key, low, high,
          Excerpt(*value));
  return value->get<double>();
}

namespace internal {

void WrongType(const std::string& key, const Json& value, std::string_view expected) {
  Fail(ErrorKind::kConfig, "field '{}' must be {}, got {}", key, expected, Excerpt(value));
}

}  // namespace internal

}  // namespace gesso
