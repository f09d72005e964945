#include "pipelines/prompt_file.h"

#include <algorithm>

namespace gesso {

std::vector<Request> ReadPromptFile(const std::string& path) {
  constexpr size_t kMaxBytes = size_t{64} << 20;
  return ParsePrompts(ReadFile(path == "-" ? "/dev/stdin" : path, kMaxBytes), path);
}

std::vector<Request> ParsePrompts(std::string_view text, const std::string& name) {
  std::vector<Request> requests;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    const std::string source = fmt::format("{}, line {}", name, number);
    RequireUtf8(line, source);
    if (line.starts_with('{')) {
      requests.push_back(RequestFromJson(ParseJson(line, source), source));
    } else {
      SetField(requests.emplace_back(), "prompt", std::string(line), source);
    }
  }
  Require(!requests.empty(), ErrorKind::kUsage, "{}: holds no prompt", name);
  return requests;
}

}  // namespace gesso
