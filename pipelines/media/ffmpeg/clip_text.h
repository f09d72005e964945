// The settings that a clip file carries.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace gesso::ffmpeg {

// The comment in an MP4, QuickTime, Matroska, WebM or GIF file; nothing for a file of another kind
// or without one. Reads no more than the file's headers.
std::optional<std::string> ReadComment(const std::filesystem::path& path);

}  // namespace gesso::ffmpeg
