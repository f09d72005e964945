#include "ui/state/result_store.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <regex>

#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "ui/state/clock.h"

namespace gesso::ui {

namespace fs = std::filesystem;

Image Thumbnail(const Image& image, int side) {
  const int longest = std::max(image.width, image.height);
  if (longest <= side) return ToRgba(image);
  const auto shrink = [&](int length) {
    return std::max(1, static_cast<int>(std::lround(double{1} * length * side / longest)));
  };
  return ToRgba(ResizeAndCrop(image, shrink(image.width), shrink(image.height)));
}

ResultStore::ResultStore(fs::path folder, Background& background)
    : folder_(std::move(folder)), background_(background) {
  fs::create_directories(folder_);
  background_.Run([this] { Load(); });
}

fs::path ResultStore::NewStem() {
  last_stem_ = std::max(last_stem_ + 1, UnixMilliseconds());
  return folder_ / std::to_string(last_stem_);
}

StoredResult ResultStore::Add(const fs::path& stem, const Picture& picture,
                              std::shared_ptr<const MidiFile> song) {
  auto image = std::make_shared<Image>(picture.image);
  Result result{stem.string() + fmt::format("-{:03}.png", picture.index),
                picture.request,
                std::make_shared<Image>(Thumbnail(*image, kThumbnailSide)),
                image,
                song != nullptr,
                song};
  background_.Run([path = result.path, request = result.request, image, song = std::move(song)] {
    if (song != nullptr) WriteMidi(SongFile(path), *song, true);  // first: the picture shows it
    WriteFile(path, EncodePng(*image, MetadataOf({request})), true);
  });
  const StoredResult stored{result.path.filename().string(), result.request, result.path};
  results_.insert(results_.begin(), std::move(result));
  // Only the newest are kept in memory whole.
  constexpr size_t kWhole = 8;
  if (results_.size() > kWhole) {
    results_[kWhole].image = nullptr;
    results_[kWhole].song = nullptr;
  }
  return stored;
}

void ResultStore::Update() {
  const std::lock_guard lock(mutex_);
  for (Result& result : loaded_) {
    const auto place =
        std::ranges::lower_bound(results_, result.path, std::greater(), &Result::path);
    const bool is_there = place != results_.end() && place->path == result.path;
    if (!is_there) results_.insert(place, std::move(result));
  }
  loaded_.clear();
}

std::vector<StoredResult> ResultStore::Import(std::vector<StoredResult> stored) {
  std::vector<StoredResult> known;
  for (const StoredResult& result : stored) {
    known.push_back({result.name, result.request, folder_ / result.name});
  }
  background_.Run([this, stored = std::move(stored)] {
    for (const StoredResult& result : stored) {
      const fs::path path = folder_ / result.name;
      const fs::path song = SongFile(path);
      if (!result.midi.empty() && !fs::exists(song)) WriteFile(song, result.midi, false);
      if (!result.png.empty() && !fs::exists(path)) WriteFile(path, result.png, false);
      LoadFile(path);
    }
  });
  return known;
}

bool ResultStore::IsName(const std::string& name) {
  static const std::regex kName("[0-9]{1,20}-[0-9]{3,10}\\.png");
  return std::regex_match(name, kName);
}

Image ResultStore::ImageOf(const Result& result) {
  return result.image != nullptr ? *result.image : ReadImage(result.path, 3);
}

std::shared_ptr<const MidiFile> ResultStore::SongOf(const Result& result) {
  CHECK(result.is_song);
  if (result.song != nullptr) return result.song;
  return std::make_shared<const MidiFile>(ReadMidi(SongFile(result.path)));
}

fs::path ResultStore::SongFile(fs::path picture) { return picture.replace_extension(".mid"); }

void ResultStore::Load() {
  RemoveOldest();
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    // The inputs of jobs end in a word.
    if (IsName(entry.path().filename().string())) paths.push_back(entry.path());
  }
  std::ranges::sort(paths, std::greater());
  for (const fs::path& path : paths) LoadFile(path);
}

void ResultStore::LoadFile(const fs::path& path) {
  Result result{path, {}, nullptr, nullptr, fs::exists(SongFile(path))};
  try {
    result.request = ReadMetadata(path).front();
    result.thumbnail = std::make_shared<Image>(Thumbnail(ReadImage(path, 3), kThumbnailSide));
  } catch (const Error&) {
    return;  // not ours, or cut off by a crash: no reason to show nothing else
  }
  const std::lock_guard lock(mutex_);
  loaded_.push_back(std::move(result));
}

void ResultStore::RemoveOldest() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder_)) paths.push_back(entry.path());
  if (paths.size() <= kMaxResults) return;
  std::ranges::sort(paths);
  size_t count = paths.size() - kMaxResults;
  // A song goes with its picture.
  if (count < paths.size() && paths[count].stem() == paths[count - 1].stem()) ++count;
  paths.resize(count);
  for (const fs::path& path : paths) fs::remove(path);
}

}  // namespace gesso::ui
