// What needs FFmpeg, in a library of its own that is loaded when it is first asked for: FFmpeg
// brings over a hundred more, which would double the time in which a picture's program starts.
#pragma once

#include "pipelines/media/clip_writer.h"

namespace gesso {

// The functions of pipelines/media/ffmpeg, whose headers say what they do.
struct VideoModule {
  void (*check_video)(const std::string& container, const ClipOptions& options);
  std::unique_ptr<ClipWriter> (*open_video)(const std::filesystem::path& path,
                                            const std::string& container, const ClipSpec& spec,
                                            const ClipOptions& options);
  std::unique_ptr<ClipWriter> (*open_gif)(const std::filesystem::path& path, const ClipSpec& spec,
                                          const ClipOptions& options);
  std::optional<std::string> (*read_comment)(const std::filesystem::path& path);
  std::string (*present_codecs)();
};

// The library's one function; defined there.
extern "C" const VideoModule* GessoVideoModule();

// Loads the library where it is not yet. Returns nullptr where it was not built or FFmpeg is not
// installed, and warns of the latter.
const VideoModule* LoadVideoModule();

}  // namespace gesso
