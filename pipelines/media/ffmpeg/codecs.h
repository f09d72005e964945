// The codecs that clips are written with, through whichever of their encoders this FFmpeg has.
#pragma once

#include <optional>
#include <string>
#include <vector>

struct AVCodec;

namespace gesso::ffmpeg {

struct CodecInfo {
  std::string name;
  std::vector<std::string> encoders;  // FFmpeg's names, the best first
  int default_crf;
  int worst_crf;
};

const std::vector<CodecInfo>& Codecs();

// The encoder of `codec` that is there; nullptr if none is.
const AVCodec* FindEncoder(const CodecInfo& codec);

// `name`, or for "" the first of the codecs that `container` (FFmpeg's name of it) takes and that
// is there. Throws kUsage for an unknown codec and one that does not go into the container;
// kUnsupported for one that this FFmpeg lacks. All name those present.
const CodecInfo& ChooseCodec(const std::string& name, const std::string& container);

// The codecs that are there, as "h264 (libx264)".
std::string PresentCodecs();

}  // namespace gesso::ffmpeg
