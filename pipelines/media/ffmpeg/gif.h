// Clips in GIF files, with palettes of the clip's own colours.
#pragma once

#include "pipelines/media/clip_writer.h"

namespace gesso::ffmpeg {

// A palette serves 64 frames: a longer clip gets a new one, so that memory does not grow with it.
std::unique_ptr<ClipWriter> OpenGif(const std::filesystem::path& path, const ClipSpec& spec,
                                    const ClipOptions& options);

}  // namespace gesso::ffmpeg
