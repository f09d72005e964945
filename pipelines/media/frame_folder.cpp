#include "pipelines/media/frame_folder.h"

#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "frame-";

class FrameFolder : public ClipWriter {
 public:
  FrameFolder(const fs::path& path, const ClipSpec& spec)
      : path_(WithoutSlash(path)), texts_(MetadataOf({spec.request})) {
    CheckFrameFolder(path_);
    part_ = MakePartFolder(path_);
  }

  ~FrameFolder() override {
    std::error_code error;
    fs::remove_all(part_, error);  // after Finish there is none
  }

  void Add(const Image& frame) override {
    const fs::path file = part_ / fmt::format("{}{:05}.png", kPrefix, count_++);
    WriteFile(file, EncodePng(frame, texts_), true);
  }

  void Finish() override {
    std::error_code error;
    fs::rename(part_, path_, error);
    Require(!error, ErrorKind::kOutput, "{}: cannot be written ({})", path_.string(),
            error.message());
  }

 private:
  fs::path path_;
  fs::path part_;
  std::vector<PngText> texts_;
  int64_t count_ = 0;
};

}  // namespace

void CheckFrameFolder(const fs::path& path) {
  const fs::path name = WithoutSlash(path);
  std::error_code error;
  if (fs::exists(name, error)) {
    Require(fs::is_directory(name, error) && fs::is_empty(name, error), ErrorKind::kOutput,
            "{}: frames go into a new or empty folder, and this is none", name.string());
    return;
  }
  CheckOutput(name, false);
}

std::unique_ptr<ClipWriter> OpenFrameFolder(const fs::path& path, const ClipSpec& spec) {
  return std::make_unique<FrameFolder>(path, spec);
}

}  // namespace gesso
