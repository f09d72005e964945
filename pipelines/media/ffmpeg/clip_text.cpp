#include "pipelines/media/ffmpeg/clip_text.h"

extern "C" {
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
}

#include <memory>

namespace gesso::ffmpeg {

namespace {

struct Close {
  void operator()(AVFormatContext* file) const { avformat_close_input(&file); }
};

}  // namespace

std::optional<std::string> ReadComment(const std::filesystem::path& path) {
  // FFmpeg reads many more formats, whose readers are no place for files from anywhere.
  AVDictionary* options = nullptr;
  av_dict_set(&options, "format_whitelist", "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif", 0);
  av_dict_set(&options, "protocol_whitelist", "file", 0);
  AVFormatContext* opened = nullptr;
  const std::string url = "file:" + path.string();
  const int code = avformat_open_input(&opened, url.c_str(), nullptr, &options);
  av_dict_free(&options);
  if (code < 0) return std::nullopt;
  const std::unique_ptr<AVFormatContext, Close> file(opened);
  const AVDictionaryEntry* entry = av_dict_get(file->metadata, "comment", nullptr, 0);
  if (entry == nullptr) return std::nullopt;
  return entry->value;
}

}  // namespace gesso::ffmpeg
