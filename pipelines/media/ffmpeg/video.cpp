#include "pipelines/media/ffmpeg/video.h"

extern "C" {
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "pipelines/media/ffmpeg/codecs.h"
#include "pipelines/media/ffmpeg/muxer.h"

namespace gesso::ffmpeg {

namespace {

constexpr const char* kPixelFormat = "yuv420p";

// A format of brightness and colour differences, which BT.709 speaks of.
bool IsYuv(AVPixelFormat format) {
  const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
  constexpr uint64_t kOther = AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_HWACCEL;
  return description != nullptr && (description->flags & kOther) == 0 &&
         description->nb_components == 3 && std::string_view(description->name)[0] == 'y' &&
         std::string_view(description->name).find('j') == std::string_view::npos;
}

AVPixelFormat ChoosePixelFormat(const AVCodec& encoder, const std::string& name) {
  const std::string wanted = name.empty() ? kPixelFormat : name;
  std::string known;
  for (const AVPixelFormat* format = encoder.pix_fmts; *format != AV_PIX_FMT_NONE; ++format) {
    if (!IsYuv(*format)) continue;
    if (wanted == av_get_pix_fmt_name(*format)) return *format;
    known += std::string(known.empty() ? "" : ", ") + av_get_pix_fmt_name(*format);
  }
  Fail(ErrorKind::kUsage, "pixel_format: the encoder {} has no '{}' (choices: {})", encoder.name,
       wanted, known);
}

int RoundUp(int value, int log2) {
  const int unit = 1 << log2;
  return (value + unit - 1) / unit * unit;
}

// `image` with its last column and row repeated up to width x height.
Image Pad(const Image& image, int width, int height) {
  Image padded{width, height, image.channels, {}};
  const auto channels = static_cast<size_t>(image.channels);
  padded.pixels.reserve(static_cast<size_t>(width) * static_cast<size_t>(height) * channels);
  for (int y = 0; y < height; ++y) {
    const uint8_t* row = image.pixels.data() + static_cast<size_t>(std::min(y, image.height - 1)) *
                                                   static_cast<size_t>(image.width) * channels;
    for (int x = 0; x < width; ++x) {
      const uint8_t* pixel = row + static_cast<size_t>(std::min(x, image.width - 1)) * channels;
      padded.pixels.insert(padded.pixels.end(), pixel, pixel + channels);
    }
  }
  return padded;
}

std::map<std::string, std::string> EncoderOptions(const AVCodec& encoder, int crf) {
  std::map<std::string, std::string> options = {{"crf", std::to_string(crf)}};
  const std::string_view name = encoder.name;
  if (name == "libvpx-vp9") options["cpu-used"] = "2";
  if (name == "libaom-av1") options["cpu-used"] = "6";
  if (name == "libopenh264") options.clear();  // knows no crf
  return options;
}

std::string TitleOf(const Request& request) {
  return request.prompt_schedule ? *request.prompt_schedule : request.prompt.value_or("");
}

class Video : public ClipWriter {
 public:
  Video(const std::filesystem::path& path, const std::string& container, const ClipSpec& spec,
        const ClipOptions& options)
      : spec_(spec), muxer_(path, container, options.overwrite), frame_(av_frame_alloc()) {
    const CodecInfo& codec = ChooseCodec(options.codec, container);
    const AVCodec* encoder = FindEncoder(codec);
    muxer_.SetEncoder(encoder, spec.fps);
    AVCodecContext& context = muxer_.codec();
    context.pix_fmt = ChoosePixelFormat(*encoder, options.pixel_format);
    const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(context.pix_fmt);
    context.width = RoundUp(spec.width, format->log2_chroma_w);
    context.height = RoundUp(spec.height, format->log2_chroma_h);
    if (context.width != spec.width || context.height != spec.height) {
      spdlog::warn(
          "{} x {} is padded to {} x {}, as {} holds even sizes only; yuv444p would keep it",
          spec.width, spec.height, context.width, context.height, format->name);
    }
    context.color_range = AVCOL_RANGE_MPEG;
    context.colorspace = AVCOL_SPC_BT709;
    context.color_primaries = AVCOL_PRI_BT709;
    context.color_trc = AVCOL_TRC_BT709;
    context.sample_aspect_ratio = {1, 1};
    muxer_.Open(EncoderOptions(*encoder, options.crf.value_or(codec.default_crf)),
                {{"title", TitleOf(spec.request)}, {"comment", ToJson(spec.request).dump()}});
    MakeFrame();
  }

  ~Video() override { sws_freeContext(scaler_); }

  void Add(const Image& image) override {
    CHECK(image.width == spec_.width && image.height == spec_.height);
    const bool fits = frame_->width == image.width && frame_->height == image.height;
    if (!fits) return Encode(Pad(image, frame_->width, frame_->height));
    Encode(image);
  }

  void Finish() override {
    muxer_.WriteEnd();
    muxer_.Commit();
  }

 private:
  void Encode(const Image& whole) {
    const AVPixelFormat format = whole.channels == 1 ? AV_PIX_FMT_GRAY8 : AV_PIX_FMT_RGB24;
    MakeScaler(format);
    Check(av_frame_make_writable(frame_.get()), ErrorKind::kMemory, "no memory for a frame");
    const std::array<const uint8_t*, 1> source = {whole.pixels.data()};
    const std::array<int, 1> stride = {whole.width * whole.channels};
    sws_scale(scaler_, source.data(), stride.data(), 0, whole.height, frame_->data,
              frame_->linesize);
    muxer_.Encode(*frame_);
  }

  void MakeFrame() {
    const AVCodecContext& context = muxer_.codec();
    CHECK(frame_ != nullptr);
    frame_->format = context.pix_fmt;
    frame_->width = context.width;
    frame_->height = context.height;
    frame_->color_range = context.color_range;
    frame_->colorspace = context.colorspace;
    frame_->color_primaries = context.color_primaries;
    frame_->color_trc = context.color_trc;
    Check(av_frame_get_buffer(frame_.get(), 0), ErrorKind::kMemory, "no memory for a frame");
  }

  void MakeScaler(AVPixelFormat source) {
    if (scaler_ != nullptr) return;
    scaler_ = sws_getContext(frame_->width, frame_->height, source, frame_->width, frame_->height,
                             static_cast<AVPixelFormat>(frame_->format),
                             SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, nullptr, nullptr,
                             nullptr);
    CHECK(scaler_ != nullptr);
    const int* bt709 = sws_getCoefficients(SWS_CS_ITU709);
    constexpr int kUnit = 1 << 16;
    sws_setColorspaceDetails(scaler_, bt709, 1, bt709, 0, 0, kUnit, kUnit);
  }

  ClipSpec spec_;
  Muxer muxer_;
  Owned<AVFrame> frame_;
  SwsContext* scaler_ = nullptr;
};

}  // namespace

void CheckVideo(const std::string& container, const ClipOptions& options) {
  const CodecInfo& codec = ChooseCodec(options.codec, container);
  ChoosePixelFormat(*FindEncoder(codec), options.pixel_format);
  Require(!options.crf || (*options.crf >= 0 && *options.crf <= codec.worst_crf), ErrorKind::kUsage,
          "crf: {} is outside 0 to {} of {}", options.crf.value_or(0), codec.worst_crf, codec.name);
}

std::unique_ptr<ClipWriter> OpenVideo(const std::filesystem::path& path,
                                      const std::string& container, const ClipSpec& spec,
                                      const ClipOptions& options) {
  return std::make_unique<Video>(path, container, spec, options);
}

}  // namespace gesso::ffmpeg
