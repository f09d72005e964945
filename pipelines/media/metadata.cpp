#include "pipelines/media/metadata.h"

#include <algorithm>
#include <fstream>

#include "pipelines/media/video_module.h"

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

namespace {

std::vector<Request> ParseSettings(const std::string& text, const std::string& name) {
  const Json json = ParseJson(text, name + " (settings)");
  std::vector<Request> requests;
  if (json.is_array()) {
    for (const Json& item : json) requests.push_back(RequestFromJson(item, name));
  } else {
    requests.push_back(RequestFromJson(json, name));
  }
  Require(!requests.empty(), ErrorKind::kFormat, "{}: its list of settings is empty", name);
  return requests;
}

}  // namespace

std::vector<Request> ParseMetadata(std::string_view png, const std::string& name) {
  const std::vector<PngText> texts = ReadPngText(png, name);
  const auto found = std::ranges::find(texts, kKeyword, &PngText::keyword);
  Require(found != texts.end(), ErrorKind::kFormat,
          "{}: holds no settings of gesso (made by another program, or saved anew by one)", name);
  return ParseSettings(found->text, name);
}

std::vector<Request> ReadMetadata(const std::filesystem::path& path) {
  std::string head(kPngSignature.size(), '\0');
  std::ifstream(path, std::ios::binary)
      .read(head.data(), static_cast<std::streamsize>(head.size()));
  const VideoModule* video = head == kPngSignature ? nullptr : LoadVideoModule();
  if (const auto comment = video != nullptr ? video->read_comment(path) : std::nullopt) {
    Require(comment->starts_with('{'), ErrorKind::kFormat,
            "{}: holds no settings of gesso (made by another program, or saved anew by one)",
            path.string());
    return ParseSettings(*comment, path.string());
  }
  return ParseMetadata(ReadFile(path, kMaxFileBytes), path.string());
}

}  // namespace gesso
