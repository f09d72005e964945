#include "pipelines/media/metadata.h"

#include <algorithm>

namespace gesso {

namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr std::string_view kKeyword = "gesso";

}  // namespace

std::vector<PngText> MetadataOf(const std::vector<Request>& requests) {
  CHECK(!requests.empty());
  Json json = Json::array();
  for (const Request& request : requests) json.push_back(ToJson(request));
  return {{"parameters", ParametersText(requests.front())},
          {std::string(kKeyword), (requests.size() == 1 ? json[0] : json).dump()}};
}

std::vector<Request> ParseMetadata(std::string_view png, const std::string& name) {
  const std::vector<PngText> texts = ReadPngText(png, name);
  const auto found = std::ranges::find(texts, kKeyword, &PngText::keyword);
  Require(found != texts.end(), ErrorKind::kFormat,
          "{}: holds no settings of gesso (made by another program, or saved anew by one)", name);
  const Json json = ParseJson(found->text, name + " (settings)");
  std::vector<Request> requests;
  if (json.is_array()) {
    for (const Json& item : json) requests.push_back(RequestFromJson(item, name));
  } else {
    requests.push_back(RequestFromJson(json, name));
  }
  Require(!requests.empty(), ErrorKind::kFormat, "{}: its list of settings is empty", name);
  return requests;
}

std::vector<Request> ReadMetadata(const std::filesystem::path& path) {
  return ParseMetadata(ReadFile(path, kMaxFileBytes), path.string());
}

}  // namespace gesso
