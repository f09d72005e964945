// Clips in MP4, QuickTime, Matroska and WebM files.
#pragma once

#include "pipelines/media/clip_writer.h"

namespace gesso::ffmpeg {

// `container`: FFmpeg's name of the format. Throw as CheckClip and OpenClip.
void CheckVideo(const std::string& container, const ClipOptions& options);
// Frames are converted to BT.709, limited range, and tagged as that. Where the pixel format holds
// colours for pairs of pixels only, odd sizes are padded by a copy of the last row or column.
std::unique_ptr<ClipWriter> OpenVideo(const std::filesystem::path& path,
                                      const std::string& container, const ClipSpec& spec,
                                      const ClipOptions& options);

}  // namespace gesso::ffmpeg
