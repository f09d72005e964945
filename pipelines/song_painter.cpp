#include "pipelines/song_painter.h"

#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "kernels/core/error.h"
#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

// A folder for what requests name by path; it goes away with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "gesso-song-XXXXXX").string();
    Require(mkdtemp(name.data()) != nullptr, ErrorKind::kOutput, "{}: cannot be made", name);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string Write(const std::string& name, const Image& picture) const {
    WriteFile(path_ / name, EncodePng(picture, {}), true);
    return (path_ / name).string();
  }

 private:
  fs::path path_;
};

// Keeps the picture and passes on the rest.
class OnePicture : public GenerateObserver {
 public:
  explicit OnePicture(GenerateObserver& observer) : observer_(observer) {}
  void OnStep(const StepReport& step) override { observer_.OnStep(step); }
  void OnPicture(const Picture& picture) override { image = picture.image; }

  std::optional<Image> image;

 private:
  GenerateObserver& observer_;
};

}  // namespace

PaintRoll SongPainter(Generator& generator, const Request& request, GenerateObserver& observer) {
  CHECK(!request.init_image && !request.mask);
  Require(request.batch_count.value_or(1) == 1, ErrorKind::kUsage,
          "batch_count: a song is composed once; run it again with another seed");
  auto next = std::make_shared<Request>(request);
  return [&generator, &observer, next](const Image& window, const Image& mask) {
    const ScratchFolder folder;
    Request asked = *next;
    asked.init_image = folder.Write("window.png", window);
    asked.mask = folder.Write("mask.png", mask);
    const Request resolved = generator.Resolve(asked);
    next->seed = *resolved.seed + 1;
    OnePicture painted(observer);
    generator.Run(resolved, painted);
    CHECK(painted.image.has_value());
    return *painted.image;
  };
}

}  // namespace gesso
