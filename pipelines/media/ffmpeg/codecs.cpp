#include "pipelines/media/ffmpeg/codecs.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <algorithm>

#include "kernels/core/error.h"
#include "pipelines/media/clip_writer.h"

namespace gesso::ffmpeg {

namespace {

bool GoesInto(const CodecInfo& codec, const std::string& container) {
  const AVOutputFormat* format = av_guess_format(container.c_str(), nullptr, nullptr);
  const AVCodec* encoder = FindEncoder(codec);
  return format != nullptr && encoder != nullptr &&
         avformat_query_codec(format, encoder->id, FF_COMPLIANCE_NORMAL) == 1;
}

}  // namespace

const std::vector<CodecInfo>& Codecs() {
  static const std::vector<CodecInfo> kTable = {
      {"h264", {"libx264", "libopenh264"}, 16, 51},
      {"vp9", {"libvpx-vp9"}, 20, 63},
      {"av1", {"libaom-av1", "libsvtav1"}, 20, 63},
  };
  return kTable;
}

const AVCodec* FindEncoder(const CodecInfo& codec) {
  for (const std::string& name : codec.encoders) {
    if (const AVCodec* encoder = avcodec_find_encoder_by_name(name.c_str())) return encoder;
  }
  return nullptr;
}

const CodecInfo& ChooseCodec(const std::string& name, const std::string& container) {
  for (const CodecInfo& codec : Codecs()) {
    if (!name.empty() && codec.name != name) continue;
    if (GoesInto(codec, container)) return codec;
    if (name.empty()) continue;
    Require(FindEncoder(codec) != nullptr, ErrorKind::kUnsupported,
            "codec: FFmpeg was built without an encoder for {} here (present: {})", name,
            PresentCodecs());
    Fail(ErrorKind::kUsage, "codec: {} does not go into a {} file (present: {})", name, container,
         PresentCodecs());
  }
  Require(name.empty(), ErrorKind::kUsage, "codec: there is no '{}' (present: {})", name,
          PresentCodecs());
  Fail(ErrorKind::kUnsupported, "codec: FFmpeg has no encoder for {} files here (present: {})",
       container, PresentCodecs());
}

std::string PresentCodecs() {
  std::string list;
  for (const CodecInfo& codec : Codecs()) {
    const AVCodec* encoder = FindEncoder(codec);
    if (encoder == nullptr) continue;
    list += (list.empty() ? "" : ", ") + codec.name + " (" + encoder->name + ")";
  }
  return list.empty() ? "none" : list;
}

}  // namespace gesso::ffmpeg
