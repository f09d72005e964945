#include "pipelines/media/ffmpeg/gif.h"

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <malloc.h>
}

#include <cmath>
#include <cstring>

#include "pipelines/media/ffmpeg/codecs.h"
#include "pipelines/media/ffmpeg/muxer.h"

namespace gesso::ffmpeg {

namespace {

constexpr int kFramesAPalette = 64;
constexpr double kTicks = 100;  // a second, of a GIF's clock
constexpr double kMostFps = 50;
constexpr const char* kFilters =
    "[in]split[a][b];[a]palettegen=stats_mode=full[p];"
    "[b][p]paletteuse=dither=sierra2_4a:diff_mode=rectangle[out]";

struct FreeGraph {
  void operator()(AVFilterGraph* graph) const { avfilter_graph_free(&graph); }
};

struct FreeInOut {
  void operator()(AVFilterInOut* ends) const { avfilter_inout_free(&ends); }
};

// Turns frames of one size into frames of a palette: all go in, then all come out.
class PaletteFilter {
 public:
  explicit PaletteFilter(const ClipSpec& spec) : graph_(avfilter_graph_alloc()) {
    CHECK(graph_ != nullptr);
    graph_->nb_threads = 1;  // no pool of threads, with its memory, for every palette
    const AVRational fps = RationalOf(spec.fps);
    const std::string arguments =
        fmt::format("video_size={}x{}:pix_fmt={}:time_base={}/{}:pixel_aspect=1/1", spec.width,
                    spec.height, static_cast<int>(AV_PIX_FMT_RGB24), fps.den, fps.num);
    Create(source_, "buffer", "in", arguments.c_str());
    Create(sink_, "buffersink", "out", nullptr);
    std::unique_ptr<AVFilterInOut, FreeInOut> outputs(EndOf("in", source_));
    std::unique_ptr<AVFilterInOut, FreeInOut> inputs(EndOf("out", sink_));
    AVFilterInOut* in = inputs.release();
    AVFilterInOut* out = outputs.release();
    const int parsed = avfilter_graph_parse_ptr(graph_.get(), kFilters, &in, &out, nullptr);
    inputs.reset(in);
    outputs.reset(out);
    Check(parsed, ErrorKind::kUnsupported, "FFmpeg has no palettes here");
    Check(avfilter_graph_config(graph_.get(), nullptr), ErrorKind::kUnsupported,
          "FFmpeg cannot make palettes here");
  }

  void Add(AVFrame& frame) {
    Check(av_buffersrc_write_frame(source_, &frame), ErrorKind::kMemory, "no memory for a frame");
  }

  // Calls take(frame) for every frame.
  template <class Take>
  void Finish(const Take& take) {
    Check(av_buffersrc_add_frame(source_, nullptr), ErrorKind::kInternal, "the palette's end");
    const Owned<AVFrame> frame(av_frame_alloc());
    while (true) {
      const int code = av_buffersink_get_frame(sink_, frame.get());
      if (code == AVERROR_EOF) return;
      Check(code, ErrorKind::kMemory, "a frame cannot be given a palette");
      take(*frame);
      av_frame_unref(frame.get());
    }
  }

 private:
  void Create(AVFilterContext*& filter, const char* kind, const char* name, const char* arguments) {
    Check(avfilter_graph_create_filter(&filter, avfilter_get_by_name(kind), name, arguments,
                                       nullptr, graph_.get()),
          ErrorKind::kUnsupported, "FFmpeg has no filters here");
  }

  static AVFilterInOut* EndOf(const char* name, AVFilterContext* filter) {
    AVFilterInOut* end = avfilter_inout_alloc();
    CHECK(end != nullptr);
    end->name = av_strdup(name);
    end->filter_ctx = filter;
    end->pad_idx = 0;
    end->next = nullptr;
    return end;
  }

  std::unique_ptr<AVFilterGraph, FreeGraph> graph_;
  AVFilterContext* source_ = nullptr;
  AVFilterContext* sink_ = nullptr;
};

const ClipSpec& Checked(const ClipSpec& spec) {
  Require(
      spec.fps <= kMostFps, ErrorKind::kUsage,
      "fps: a .gif counts hundredths of a second, and what plays it takes steps of one for ten: "
      "{:g} frames/s are more than {:g}; write another kind of file, or fewer frames",
      spec.fps, kMostFps);
  return spec;
}

// Ticks for which the last frame stands, so that the clip lasts as long as its frames.
int64_t LastDelay(const ClipSpec& spec) {
  const auto tick = [&](int64_t frame) {
    return std::llround(static_cast<double>(frame) * kTicks / spec.fps);
  };
  return tick(spec.frames) - tick(spec.frames - 1);
}

class Gif : public ClipWriter {
 public:
  Gif(const std::filesystem::path& path, const ClipSpec& spec, const ClipOptions& options)
      : spec_(Checked(spec)), muxer_(path, "gif", options.overwrite) {
    const AVCodec* encoder = avcodec_find_encoder(AV_CODEC_ID_GIF);
    Require(encoder != nullptr, ErrorKind::kUnsupported,
            "FFmpeg was built without its GIF encoder here (present: {})", PresentCodecs());
    muxer_.SetEncoder(encoder, spec.fps);
    muxer_.codec().pix_fmt = AV_PIX_FMT_PAL8;
    muxer_.codec().width = spec.width;
    muxer_.codec().height = spec.height;
    muxer_.SetContainerOption("final_delay", LastDelay(spec));
    muxer_.Open({}, {});
  }

  void Add(const Image& image) override {
    if (filter_ == nullptr) filter_ = std::make_unique<PaletteFilter>(spec_);
    const Owned<AVFrame> frame(av_frame_alloc());
    frame->format = AV_PIX_FMT_RGB24;
    frame->width = image.width;
    frame->height = image.height;
    frame->pts = held_;
    Check(av_frame_get_buffer(frame.get(), 0), ErrorKind::kMemory, "no memory for a frame");
    for (int y = 0; y < image.height; ++y) {
      uint8_t* to = frame->data[0] + static_cast<ptrdiff_t>(y) * frame->linesize[0];
      for (int x = 0; x < image.width; ++x) {
        const uint8_t* from = &image.pixels[static_cast<size_t>(y * image.width + x) *
                                            static_cast<size_t>(image.channels)];
        for (int c = 0; c < 3; ++c) *to++ = image.channels == 3 ? from[c] : from[0];
      }
    }
    filter_->Add(*frame);
    if (++held_ == kFramesAPalette) Flush();
  }

  void Finish() override {
    Flush();
    muxer_.WriteEnd();
    WriteComment();
    muxer_.Commit();
  }

 private:
  void Flush() {
    if (filter_ == nullptr) return;
    filter_->Finish([&](AVFrame& frame) { muxer_.Encode(frame); });
    filter_.reset();
    malloc_trim(0);  // the palette's tables, which malloc would keep
    held_ = 0;
  }

  // The settings as a comment (GIF89a, section 24) before the byte that ends the file, which
  // FFmpeg does not write.
  void WriteComment() {
    OutputFile& file = muxer_.file();
    if (!file.IsSeekable()) return;
    const std::string text = ToJson(spec_.request).dump();
    std::string bytes = "\x21\xFE";
    for (size_t at = 0; at < text.size(); at += 255) {
      const std::string part = text.substr(at, 255);
      bytes += static_cast<char>(part.size());
      bytes += part;
    }
    bytes += '\0';
    bytes += ';';
    file.Seek(file.Size() - 1);
    file.Write(std::as_bytes(std::span(bytes)));
  }

  ClipSpec spec_;
  Muxer muxer_;
  std::unique_ptr<PaletteFilter> filter_;
  int held_ = 0;  // frames in the filter
};

}  // namespace

std::unique_ptr<ClipWriter> OpenGif(const std::filesystem::path& path, const ClipSpec& spec,
                                    const ClipOptions& options) {
  return std::make_unique<Gif>(path, spec, options);
}

}  // namespace gesso::ffmpeg
