// The pictures that were made, on disk: the strip of them survives a restart, and each file carries
// the settings that make it again. What a job started from lies beside it. Of a song the picture is
// a part of its roll, and the song (.mid) lies beside it.
#pragma once

#include <filesystem>
#include <mutex>

#include "ui/state/background.h"
#include "ui/state/document.h"

namespace gesso::ui {

struct Result {
  std::filesystem::path path;
  Request request;
  std::shared_ptr<const Image> thumbnail;  // RGBA, at most kThumbnailSide on a side
  std::shared_ptr<const Image> image;      // or nullptr: to be read from `path`
  bool is_song = false;
  std::shared_ptr<const MidiFile> song = nullptr;  // of a song; or nullptr: to be read
};

// A result as a project holds it.
struct StoredResult {
  std::string name;  // of its file in the store: <time>-<number>.png
  Request request = {};
  std::filesystem::path file = {};  // that the picture is copied from
  std::string png = {};             // or the picture; or nothing
  std::string midi = {};            // with a picture that is of a song: the song
};

constexpr int kThumbnailSide = 160;
constexpr size_t kMaxResults = 200;

class ResultStore {
 public:
  // Reads what is there on the background thread; Update takes it in.
  ResultStore(std::filesystem::path folder, Background& background);

  // A name for the files of a new job, later than all before it: "<folder>/<name>".
  std::filesystem::path NewStem();
  // Writes the picture of the job in the background, with the song that it is of, if any. Returns
  // what a project needs of it.
  StoredResult Add(const std::filesystem::path& stem, const Picture& picture,
                   std::shared_ptr<const MidiFile> song = nullptr);
  void Update();
  // Takes in results of a project in the background: pictures that are not there yet are written.
  // Returns them as Add does.
  std::vector<StoredResult> Import(std::vector<StoredResult> stored);

  const std::vector<Result>& results() const { return results_; }  // the newest first
  // Throw as ReadImage and ReadMidi where the file is gone.
  static Image ImageOf(const Result& result);
  static std::shared_ptr<const MidiFile> SongOf(const Result& result);
  // The song of a result whose picture is `picture`, whether there is one or not.
  static std::filesystem::path SongFile(std::filesystem::path picture);
  // Whether `name` is that of a result's file.
  static bool IsName(const std::string& name);

 private:
  void Load();
  void LoadFile(const std::filesystem::path& path);
  void RemoveOldest();

  std::filesystem::path folder_;
  Background& background_;
  std::vector<Result> results_;
  int64_t last_stem_ = 0;
  std::mutex mutex_;
  std::vector<Result> loaded_;  // guarded by mutex_
};

// `image` made smaller, or as it is, with both sides at most `side`.
Image Thumbnail(const Image& image, int side);

}  // namespace gesso::ui
