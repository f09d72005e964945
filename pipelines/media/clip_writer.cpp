#include "pipelines/media/clip_writer.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "models/io/output_file.h"
#include "pipelines/media/apng.h"
#include "pipelines/media/frame_folder.h"
#include "pipelines/media/suffix.h"
#ifdef GESSO_HAS_VIDEO
#include "pipelines/media/ffmpeg/gif.h"
#include "pipelines/media/ffmpeg/video.h"
#endif

namespace gesso {

namespace {

namespace fs = std::filesystem;

enum class Kind { kVideo, kGif, kApng, kFolder };

struct Format {
  std::string_view suffix;
  Kind kind;
  std::string container;  // FFmpeg's name
};

const std::vector<Format>& Formats() {
  static const std::vector<Format> kTable = {
      {".mp4", Kind::kVideo, "mp4"},   {".mov", Kind::kVideo, "mov"},
      {".webm", Kind::kVideo, "webm"}, {".mkv", Kind::kVideo, "matroska"},
      {".gif", Kind::kGif, "gif"},     {".apng", Kind::kApng, ""},
      {"", Kind::kFolder, ""},
  };
  return kTable;
}

const Format& FormatOf(const fs::path& path) {
  const std::string suffix = SuffixOf(path);
  std::string known;
  for (const Format& format : Formats()) {
    if (format.suffix == suffix) return format;
    if (!format.suffix.empty()) known += std::string(format.suffix) + ", ";
  }
  Fail(ErrorKind::kUsage, "{}: clips are written as {}or into a folder (a name with no suffix)",
       path.string(), known);
}

void RefuseOptions(const fs::path& path, const ClipOptions& options) {
  const std::string name = path.has_extension() ? path.extension().string() : "folder";
  const auto refuse = [&](bool given, std::string_view option) {
    Require(!given, ErrorKind::kUsage, "{}: means nothing to a {}", option, name);
  };
  refuse(!options.codec.empty(), "codec");
  refuse(options.crf.has_value(), "crf");
  refuse(!options.pixel_format.empty(), "pixel_format");
}

[[maybe_unused]] [[noreturn]] void FailWithoutFfmpeg(const fs::path& path) {
  Fail(ErrorKind::kUnsupported,
       "{}: this build of gesso has no FFmpeg (packages.txt, group video); it writes .apng and "
       "folders of frames",
       path.string());
}

}  // namespace

#ifdef GESSO_HAS_VIDEO

void CheckClip(const fs::path& path, const ClipOptions& options) {
  const Format& format = FormatOf(path);
  if (format.kind == Kind::kVideo) {
    ffmpeg::CheckVideo(format.container, options);
  } else {
    RefuseOptions(path, options);
  }
  if (format.kind == Kind::kFolder) return CheckFrameFolder(path);
  CheckOutput(path, options.overwrite);
}

std::unique_ptr<ClipWriter> OpenClip(const fs::path& path, const ClipSpec& spec,
                                     const ClipOptions& options) {
  CheckClip(path, options);
  const Format& format = FormatOf(path);
  switch (format.kind) {
    case Kind::kVideo:
      return ffmpeg::OpenVideo(path, format.container, spec, options);
    case Kind::kGif:
      return ffmpeg::OpenGif(path, spec, options);
    case Kind::kApng:
      return OpenApng(path, spec, options);
    case Kind::kFolder:
      break;
  }
  return OpenFrameFolder(path, spec);
}

#else

void CheckClip(const fs::path& path, const ClipOptions& options) {
  const Format& format = FormatOf(path);
  if (format.kind == Kind::kVideo || format.kind == Kind::kGif) FailWithoutFfmpeg(path);
  RefuseOptions(path, options);
  if (format.kind == Kind::kFolder) return CheckFrameFolder(path);
  CheckOutput(path, options.overwrite);
}

std::unique_ptr<ClipWriter> OpenClip(const fs::path& path, const ClipSpec& spec,
                                     const ClipOptions& options) {
  CheckClip(path, options);
  if (FormatOf(path).kind == Kind::kApng) return OpenApng(path, spec, options);
  return OpenFrameFolder(path, spec);
}

std::string PresentCodecs() { return "none"; }

#endif

}  // namespace gesso
