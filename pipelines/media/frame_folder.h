// A clip as a folder of numbered PNG files: frame-00000.png, frame-00001.png, ...
#pragma once

#include "pipelines/media/clip_writer.h"

namespace gesso {

// The folder is written aside (MakePartFolder) and renamed. Throws kOutput where `path` exists and
// is not an empty folder, whatever `overwrite` says: files that are not ours stay.
void CheckFrameFolder(const std::filesystem::path& path);
std::unique_ptr<ClipWriter> OpenFrameFolder(const std::filesystem::path& path,
                                            const ClipSpec& spec);

}  // namespace gesso
