#include "pipelines/media/clip_writer.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "models/io/output_file.h"
#include "pipelines/media/apng.h"
#include "pipelines/media/frame_folder.h"
#include "pipelines/media/suffix.h"
#include "pipelines/media/video_module.h"

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

// Throws kUnsupported, naming `path`, where FFmpeg is missing.
const VideoModule& Video(const fs::path& path) {
  const VideoModule* module = LoadVideoModule();
  Require(
      module != nullptr, ErrorKind::kUnsupported,
      "{}: gesso has no FFmpeg here (packages.txt, group video); it writes .apng and folders of "
      "frames",
      path.string());
  return *module;
}

}  // namespace

void CheckClip(const fs::path& path, const ClipOptions& options) {
  const Format& format = FormatOf(path);
  if (format.kind == Kind::kVideo) {
    Video(path).check_video(format.container, options);
  } else {
    if (format.kind == Kind::kGif) Video(path);
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
      return Video(path).open_video(path, format.container, spec, options);
    case Kind::kGif:
      return Video(path).open_gif(path, spec, options);
    case Kind::kApng:
      return OpenApng(path, spec, options);
    case Kind::kFolder:
      break;
  }
  return OpenFrameFolder(path, spec);
}

std::string PresentCodecs() {
  const VideoModule* module = LoadVideoModule();
  return module != nullptr ? module->present_codecs() : "none";
}

}  // namespace gesso
