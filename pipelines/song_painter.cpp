#include "pipelines/song_painter.h"

#include <algorithm>
#include <array>
#include <optional>

#include "kernels/core/error.h"
#include "models/io/output_file.h"
#include "pipelines/installed_models.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/midi/key.h"
#include "pipelines/scratch_folder.h"

namespace gesso {

namespace {

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

// Windows have one size, and a mask is a song's as it is.
constexpr std::array<std::string_view, 8> kNotOfSongs = {"width",       "height",      "outpaint",
                                                         "mask_invert", "mask_grow",   "mask_blur",
                                                         "only_masked", "mask_padding"};

// `resolved` as it is asked for: without what is of a window alone.
Request OfTheSong(const Request& resolved) {
  Request request = resolved;
  VisitFields(request, [](const FieldInfo& info, auto& field) {
    if (std::ranges::count(kNotOfSongs, info.name) > 0) field.reset();
  });
  request.init_image.reset();
  request.mask.reset();
  return request;
}

// Paints windows as `request` says; window i with seed + i. The first completes it. All three
// outlive the painter.
PaintRoll SongPainter(Generator& generator, Request& request, GenerateObserver& observer) {
  auto windows = std::make_shared<uint64_t>(0);
  return [&generator, &request, &observer, windows](const Image& window, const Image& mask) {
    const ScratchFolder folder("song");
    const auto write = [&](const char* file, const Image& picture) {
      WriteFile(folder.path() / file, EncodePng(picture, {}), true);
      return (folder.path() / file).string();
    };
    Request asked = request;
    if (*windows > 0) asked.seed = *asked.seed + *windows;
    asked.init_image = write("window.png", window);
    asked.mask = write("mask.png", mask);
    const Request resolved = generator.Resolve(asked);
    if ((*windows)++ == 0) request = OfTheSong(resolved);
    OnePicture painted(observer);
    generator.Run(resolved, painted);
    CHECK(painted.image.has_value());
    return *painted.image;
  };
}

}  // namespace

ComposedSong ComposeAgain(Generator& generator, const MidiFile& song, const Image& mask,
                          Request request, GenerateObserver& observer, const std::string& name) {
  CHECK(!request.init_image && !request.mask);
  Require(request.batch_count.value_or(1) == 1, ErrorKind::kUsage,
          "batch_count: a song is composed once; run it again with another seed");
  RefuseFields(request, kNotOfSongs,
               "songs are composed in windows of one size, by the mask as it is");
  Require(std::ranges::any_of(mask.pixels, [](uint8_t value) { return value >= kRollMasked; }),
          ErrorKind::kFormat, "{}: the mask covers nothing; what is composed again is white", name);
  if (!request.model) request.model = std::string(kMusicModel);
  if (!request.prompt) request.prompt = "";
  MidiFile composed = RefillSong(song, mask, SongPainter(generator, request, observer), name,
                                 KeyNamedIn(*request.prompt));
  return {std::move(composed), request};
}

}  // namespace gesso
