// The settings a picture or clip was made with, kept inside it: "parameters" for the tools of the
// ecosystem, "gesso" as the JSON that `gesso generate --from` takes.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "pipelines/media/png.h"
#include "pipelines/request.h"

namespace gesso {

// What the two texts are called.
constexpr std::string_view kParametersKeyword = "parameters";
constexpr std::string_view kSettingsKeyword = "gesso";

// One request for a picture; a sheet has one for each job on it.
std::vector<PngText> MetadataOf(const std::vector<Request>& requests);

// The requests in the bytes of a PNG, JPEG or WebP file. Throws kFormat where there are none and
// kUsage where they do not hold, both naming `name`.
std::vector<Request> ParseMetadata(std::string_view picture, const std::string& name);
// Of a picture (PNG, APNG, JPEG, WebP) or a clip.
std::vector<Request> ReadMetadata(const std::filesystem::path& path);

}  // namespace gesso
