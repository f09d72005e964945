// A stream of encoded frames in a container file, through FFmpeg's libavcodec and libavformat. The
// file is written by our own hands (OutputFile), so that it appears whole or not at all.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "kernels/core/error.h"
#include "models/io/output_file.h"

namespace gesso::ffmpeg {

struct Free {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
  void operator()(AVFormatContext* context) const { avformat_free_context(context); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// From now on FFmpeg's messages are kept, for what Check throws, and not printed.
void KeepMessages();

// Throws kind `kind`, with FFmpeg's reason and last message, if `code` is an error.
void Check(int code, ErrorKind kind, const std::string& what);

AVRational RationalOf(double fps);

class Muxer {
 public:
  // `container`: FFmpeg's name of the format. Throws kOutput.
  Muxer(const std::filesystem::path& path, const std::string& container, bool overwrite);
  ~Muxer();
  Muxer(const Muxer&) = delete;
  Muxer& operator=(const Muxer&) = delete;

  // Settings of the stream, to be filled in before Open.
  AVCodecContext& codec() { return *codec_; }
  void SetEncoder(const AVCodec* encoder, double fps);
  // A setting of the container by its name in FFmpeg; before Open.
  void SetContainerOption(const char* name, int64_t value);
  // Opens encoder and file; `options` are the encoder's own, `texts` the container's metadata.
  // Throws kUsage for what the encoder refuses.
  void Open(const std::map<std::string, std::string>& options,
            const std::map<std::string, std::string>& texts);

  void Encode(AVFrame& frame);  // the next frame
  // Writes what is left and the container's end.
  void WriteEnd();
  // The file gets its name.
  void Commit() { file_.Commit(); }

  OutputFile& file() { return file_; }

 private:
  static int WriteBytes(void* self, const uint8_t* bytes, int count);
  static int64_t SeekTo(void* self, int64_t offset, int whence);
  // As Check, but an error of our own file comes first.
  void CheckOutput(int code, const std::string& what);
  void Drain(AVFrame* frame);

  std::filesystem::path path_;
  OutputFile file_;
  int64_t position_ = 0;
  std::exception_ptr write_error_;
  Owned<AVFormatContext> format_;
  Owned<AVCodecContext> codec_;
  Owned<AVPacket> packet_;
  AVIOContext* io_ = nullptr;
  AVStream* stream_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace gesso::ffmpeg
