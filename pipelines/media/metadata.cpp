#include "pipelines/media/metadata.h"

#include <algorithm>
#include <fstream>
#include <optional>

#include "pipelines/media/exif.h"
#include "pipelines/media/video_module.h"

namespace gesso {

std::vector<PngText> MetadataOf(const std::vector<Request>& requests) {
  CHECK(!requests.empty());
  Json json = Json::array();
  for (const Request& request : requests) json.push_back(ToJson(request));
  return {{std::string(kParametersKeyword), ParametersText(requests.front())},
          {std::string(kSettingsKeyword), (requests.size() == 1 ? json[0] : json).dump()}};
}

namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;

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

// The text with the settings; nothing if there is none.
std::optional<std::string> SettingsOf(std::string_view picture, const std::string& name) {
  if (IsJpeg(picture) || IsWebp(picture)) {
    return WithContext(name, [&] {
      const std::optional<std::string_view> exif = FindExif(picture);
      return exif ? ReadExifNote(*exif) : std::nullopt;
    });
  }
  Require(picture.starts_with(kPngSignature), ErrorKind::kFormat,
          "{}: is not a PNG, JPEG or WebP picture", name);
  const std::vector<PngText> texts = ReadPngText(picture, name);
  const auto found = std::ranges::find(texts, kSettingsKeyword, &PngText::keyword);
  return found == texts.end() ? std::nullopt : std::optional(found->text);
}

[[noreturn]] void FailWithoutSettings(const std::string& name) {
  Fail(ErrorKind::kFormat,
       "{}: holds no settings of gesso (made by another program, or saved anew by one)", name);
}

}  // namespace

std::vector<Request> ParseMetadata(std::string_view picture, const std::string& name) {
  const std::optional<std::string> settings = SettingsOf(picture, name);
  if (!settings) FailWithoutSettings(name);
  return ParseSettings(*settings, name);
}

std::vector<Request> ReadMetadata(const std::filesystem::path& path) {
  std::string head(kPictureHead, '\0');
  std::ifstream(path, std::ios::binary)
      .read(head.data(), static_cast<std::streamsize>(head.size()));
  const bool is_picture = head.starts_with(kPngSignature) || IsJpeg(head) || IsWebp(head);
  const VideoModule* video = is_picture ? nullptr : LoadVideoModule();
  if (const auto comment = video != nullptr ? video->read_comment(path) : std::nullopt) {
    if (!comment->starts_with('{')) FailWithoutSettings(path.string());
    return ParseSettings(*comment, path.string());
  }
  return ParseMetadata(ReadFile(path, kMaxFileBytes), path.string());
}

}  // namespace gesso
