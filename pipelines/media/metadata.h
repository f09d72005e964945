// The settings a picture or clip was made with, kept inside it: "parameters" for the tools of the
// ecosystem, "gesso" as the JSON that `gesso generate --from` takes.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "pipelines/media/png.h"
#include "pipelines/request.h"

namespace gesso {

// One request for a picture; a sheet has one for each job on it.
std::vector<PngText> MetadataOf(const std::vector<Request>& requests);

// The requests in a PNG file's bytes. Throws kFormat where there are none and kUsage where they do
// not hold, both naming `name`.
std::vector<Request> ParseMetadata(std::string_view png, const std::string& name);
// Of a picture (PNG, APNG) or a clip.
std::vector<Request> ReadMetadata(const std::filesystem::path& path);

}  // namespace gesso
