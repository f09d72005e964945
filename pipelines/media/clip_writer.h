// Clip files: one frame at a time goes in, and the file appears whole at the end or not at all.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "pipelines/image.h"
#include "pipelines/request.h"

namespace gesso {

struct ClipOptions {
  std::string codec;         // h264, vp9, av1; empty: the first one that fits the file
  std::optional<int> crf;    // quality, 0 is the best; the codec's own if absent
  std::string pixel_format;  // FFmpeg's name; empty: yuv420p
  bool overwrite = false;
};

struct ClipSpec {
  int width;
  int height;
  int64_t frames;
  double fps;
  Request request;  // kept in the file
};

class ClipWriter {
 public:
  virtual ~ClipWriter() = default;

  virtual void Add(const Image& frame) = 0;  // of the size in the ClipSpec, 1 or 3 channels
  virtual void Finish() = 0;                 // the file gets its name
};

// What `path` says it is: .mp4, .mov, .mkv (H.264, AV1, VP9), .webm (VP9, AV1), .gif, .apng, or a
// folder of numbered PNG frames: a name that ends in / or has no suffix. Throws kUsage for another
// suffix, a codec that does not go into the file, and options that mean nothing to it;
// kUnsupported, naming the codecs present, for one that is missing; kOutput for a path that cannot
// be written. Ask before the work starts.
void CheckClip(const std::filesystem::path& path, const ClipOptions& options);

// As CheckClip, and opens the file.
std::unique_ptr<ClipWriter> OpenClip(const std::filesystem::path& path, const ClipSpec& spec,
                                     const ClipOptions& options);

// The codecs that this build has, as "h264 (libx264)", for messages and lists.
std::string PresentCodecs();

}  // namespace gesso
