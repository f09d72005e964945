#include "pipelines/media/ffmpeg/muxer.h"

extern "C" {
#include <libavutil/log.h>
#include <libavutil/opt.h>
}

#include <array>
#include <cstdarg>
#include <mutex>

namespace gesso::ffmpeg {

namespace {

constexpr int kBufferBytes = 1 << 16;

// FFmpeg tells why it refuses something in its log alone.
class LastMessage {
 public:
  static LastMessage& Get() {
    static LastMessage message;
    return message;
  }

  void Clear() {
    const std::lock_guard lock(mutex_);
    text_.clear();
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  LastMessage() {
    av_log_set_level(AV_LOG_ERROR);
    av_log_set_callback([](void* source, int level, const char* format, va_list arguments) {
      if (level <= AV_LOG_ERROR) Get().Set(source, level, format, arguments);
    });
  }

  void Set(void* source, int level, const char* format, va_list arguments) {
    std::array<char, 512> line{};
    int prefix = 1;
    av_log_format_line2(source, level, format, arguments, line.data(), line.size(), &prefix);
    const std::lock_guard lock(mutex_);
    text_ = line.data();
    while (!text_.empty() && (text_.back() == '\n' || text_.back() == '.')) text_.pop_back();
  }

  std::mutex mutex_;
  std::string text_;
};

}  // namespace

void KeepMessages() { LastMessage::Get(); }

void Check(int code, ErrorKind kind, const std::string& what) {
  if (code >= 0) return;
  std::array<char, AV_ERROR_MAX_STRING_SIZE> reason{};
  av_strerror(code, reason.data(), reason.size());
  const std::string said = LastMessage::Get().text();
  Fail(kind, "{} ({}{}{})", what, reason.data(), said.empty() ? "" : "; ", said);
}

AVRational RationalOf(double fps) { return av_d2q(fps, 1 << 16); }

Muxer::Muxer(const std::filesystem::path& path, const std::string& container, bool overwrite)
    : path_(path), file_(path, overwrite), packet_(av_packet_alloc()) {
  LastMessage::Get().Clear();
  AVFormatContext* format = nullptr;
  Check(avformat_alloc_output_context2(&format, nullptr, container.c_str(), nullptr),
        ErrorKind::kUnsupported, "FFmpeg has no container " + container + " here");
  format_.reset(format);
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBufferBytes));
  CHECK(buffer != nullptr && packet_ != nullptr);
#if LIBAVFORMAT_VERSION_MAJOR < 61
  const auto write = [](void* self, uint8_t* bytes, int count) {
    return WriteBytes(self, bytes, count);
  };
#else
  const auto write = WriteBytes;
#endif
  io_ = avio_alloc_context(buffer, kBufferBytes, 1, this, nullptr, write,
                           file_.IsSeekable() ? SeekTo : nullptr);
  CHECK(io_ != nullptr);
  format_->pb = io_;
}

Muxer::~Muxer() {
  codec_.reset();
  format_.reset();
  av_freep(&io_->buffer);
  avio_context_free(&io_);
}

// No exception may pass through FFmpeg's code: it is thrown on the other side.
int Muxer::WriteBytes(void* self, const uint8_t* bytes, int count) {
  auto& muxer = *static_cast<Muxer*>(self);
  if (muxer.write_error_) return AVERROR(EIO);
  try {
    muxer.file_.Write(std::as_bytes(std::span(bytes, static_cast<size_t>(count))));
  } catch (...) {
    muxer.write_error_ = std::current_exception();
    return AVERROR(EIO);
  }
  muxer.position_ += count;
  return count;
}

int64_t Muxer::SeekTo(void* self, int64_t offset, int whence) {
  auto& muxer = *static_cast<Muxer*>(self);
  try {
    if (whence == AVSEEK_SIZE) return muxer.file_.Size();
    if (whence == SEEK_CUR) offset += muxer.position_;
    if (whence == SEEK_END) offset += muxer.file_.Size();
    muxer.file_.Seek(offset);
  } catch (...) {
    muxer.write_error_ = std::current_exception();
    return AVERROR(EIO);
  }
  muxer.position_ = offset;
  return offset;
}

void Muxer::CheckOutput(int code, const std::string& what) {
  if (write_error_) std::rethrow_exception(write_error_);
  Check(code, ErrorKind::kOutput, path_.string() + ": " + what);
}

void Muxer::SetEncoder(const AVCodec* encoder, double fps) {
  codec_.reset(avcodec_alloc_context3(encoder));
  CHECK(codec_ != nullptr);
  codec_->framerate = RationalOf(fps);
  codec_->time_base = av_inv_q(codec_->framerate);
  codec_->thread_count = 1;  // the same file on any machine
  if ((format_->oformat->flags & AVFMT_GLOBALHEADER) != 0) {
    codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  }
}

void Muxer::SetContainerOption(const char* name, int64_t value) {
  Check(
      av_opt_set_int(format_->priv_data, name, value, 0), ErrorKind::kUnsupported,
      fmt::format("{}: FFmpeg's container {} does not have it here", name, format_->oformat->name));
}

void Muxer::Open(const std::map<std::string, std::string>& options,
                 const std::map<std::string, std::string>& texts) {
  for (const auto& [name, value] : options) {
    Check(av_opt_set(codec_->priv_data, name.c_str(), value.c_str(), 0), ErrorKind::kUsage,
          fmt::format("{}: {} is not for the encoder {}", name, value, codec_->codec->name));
  }
  Check(avcodec_open2(codec_.get(), codec_->codec, nullptr), ErrorKind::kUsage,
        fmt::format("the encoder {} refuses {} x {}", codec_->codec->name, codec_->width,
                    codec_->height));
  stream_ = avformat_new_stream(format_.get(), nullptr);
  CHECK(stream_ != nullptr);
  stream_->time_base = codec_->time_base;
  stream_->avg_frame_rate = codec_->framerate;
  Check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), ErrorKind::kInternal,
        "the stream's parameters");
  for (const auto& [name, text] : texts) {
    av_dict_set(&format_->metadata, name.c_str(), text.c_str(), 0);
  }
  CheckOutput(avformat_write_header(format_.get(), nullptr), "the header cannot be written");
}

void Muxer::Encode(AVFrame& frame) {
  frame.pts = count_++;
  Drain(&frame);
}

void Muxer::WriteEnd() {
  Drain(nullptr);
  const int written = av_write_trailer(format_.get());
  avio_flush(io_);
  CheckOutput(written, "the end cannot be written");
}

// Sends a frame, or nullptr at the end, and writes the packets that are ready.
void Muxer::Drain(AVFrame* frame) {
  CheckOutput(avcodec_send_frame(codec_.get(), frame), "a frame cannot be encoded");
  while (true) {
    const int code = avcodec_receive_packet(codec_.get(), packet_.get());
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
    CheckOutput(code, "a frame cannot be encoded");
    packet_->duration = 1;
    av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
    packet_->stream_index = stream_->index;
    CheckOutput(av_interleaved_write_frame(format_.get(), packet_.get()),
                "a frame cannot be written");
  }
}

}  // namespace gesso::ffmpeg
