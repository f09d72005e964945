#include "models/io/json.h"

#include <fstream>

namespace gesso {

std::string ReadFile(const std::filesystem::path& path, size_t limit) {
  std::error_code error;
  Require(!std::filesystem::is_directory(path, error), ErrorKind::kIo, "{}: is a folder",
          path.string());
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
  constexpr int kMaxDepth = 64;
  try {
    return Json::parse(text, [&](int depth, Json::parse_event_t, Json&) {
      Require(depth <= kMaxDepth, ErrorKind::kFormat, "{}: JSON nests deeper than {} levels", name,
              kMaxDepth);
      return true;
    });
  } catch (const nlohmann::json::exception& e) {
    Fail(ErrorKind::kFormat, "{}: not valid JSON: {}", name, e.what());
  }
}

Json ReadJson(const std::filesystem::path& path) {
  constexpr size_t kLimit = size_t{64} << 20;
  return ParseJson(ReadFile(path, kLimit), path.string());
}

}  // namespace gesso
