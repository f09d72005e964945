// The state of the editor between two frames: the document and its history, the tool in hand, the
// request that is being written, and the jobs that are under way. It knows nothing of windows.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "pipelines/media/midi/synthesiser.h"
#include "ui/actions/brush.h"
#include "ui/actions/shapes.h"
#include "ui/canvas/view.h"
#include "ui/state/background.h"
#include "ui/state/document.h"
#include "ui/state/history.h"
#include "ui/state/project.h"

namespace gesso::ui {

enum class Tool { kBrush, kEraser, kRectangle, kEllipse, kLasso, kPolygon, kBucket, kHand };

struct Notice {
  std::string text;
  bool is_error = false;
  std::chrono::steady_clock::time_point since;
};

class Editor {
 public:
  // `state_folder` keeps what outlives the program: results, recovery. Keeps references.
  Editor(Engine& engine, Background& background, const std::filesystem::path& state_folder);
  ~Editor();  // after its files are written
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  // --- the document
  // -------------------------------------------------------------------------------
  const Document& document() const { return document_; }
  const History& history() const { return history_; }
  // As it was opened, in its present size: what a comparison shows.
  Document Before() const;
  // Another document was opened that many times.
  uint64_t serial() const { return serial_; }
  // One step that can be undone. What `change` throws becomes a notice, and nothing has changed.
  void Edit(const std::string& name, const std::function<void(Document&)>& change);
  // A step over several frames; the document may be changed in between.
  Document& BeginEdit();
  void EndEdit(const std::string& name);
  void AbandonEdit();  // all is as it was before BeginEdit
  bool is_editing() const { return before_edit_.has_value(); }
  void Undo();
  void Redo();
  uint64_t selected_layer() const { return selected_layer_; }
  void SelectLayer(uint64_t id) { selected_layer_ = id; }

  // --- files; errors are thrown
  // --------------------------------------------------------------------
  void New(int width, int height);
  // A picture, a project (.gesso), or a song (.mid), whose roll becomes the picture.
  void Open(const std::filesystem::path& path);
  // As the name's end says: one of a picture, .gesso for the project; of a song also .mid and .wav.
  // Encoded in the background.
  void Save(const std::filesystem::path& path);
  // Unsaved work from an earlier run: as Open, but it stays unsaved.
  void Recover(const std::filesystem::path& path);
  void OpenMask(const std::filesystem::path& path);
  void SaveMask(const std::filesystem::path& path);
  // As it is now. Without the pictures of results it is small, for copies on this machine.
  Project ToProject(bool with_pictures) const;
  const std::filesystem::path& path() const { return path_; }  // last opened or saved; or empty
  // Changes since the document was opened or saved.
  bool is_modified() const { return is_modified_ || save_failed_; }

  // --- work
  // --------------------------------------------------------------------------------------- Hands
  // the request and the picture as it is now to the engine: with a mask, what lies under it is
  // painted anew, with request.outpaint what lies beyond its border; with use_picture, the picture
  // is the start; else a new one is made. Of a song, what is under the mask is composed again. What
  // cannot be asked for becomes a notice.
  void Submit(std::optional<uint64_t> seed = std::nullopt);
  // Takes in finished pictures and news. Once a frame.
  void Update();
  // Whether the job's picture is meant for the document as it is: a preview may lie over it.
  bool IsPainting(JobId id) const;
  bool is_busy() const;  // jobs or files are under way
  // The model that works where the request names none.
  std::string_view usual_model() const;
  // Picture `index` of a job with several, as if it had been the only one.
  void TakeVariation(JobId id, size_t index);
  // As a new layer; a song takes the place of the document's, if that has the same bars.
  void Use(const Result& result);
  void UseSettings(const Result& result);  // its request into the panel
  void OpenResult(const Result& result);   // as a document of its own
  // Starts to play the song, or stops. What keeps it from sounding becomes a notice.
  void PlayOrStop();
  bool is_playing() const { return player_ != nullptr; }
  // What songs are played with, looked for when one was opened.
  const SynthesiserSearch& synthesiser() const { return synthesiser_; }
  Engine& engine() { return engine_; }
  ResultStore& results() { return results_; }

  void Tell(const std::string& text, bool is_error = false);
  // Runs `body`; an Error becomes a notice.
  void Guard(const std::function<void()>& body);
  const std::optional<Notice>& notice() const { return notice_; }

  // --- what panels and canvas set
  // ------------------------------------------------------------------
  Request request;
  bool use_picture = false;  // start from the picture where there is no mask
  Tool tool = Tool::kBrush;
  Brush brush;
  int tolerance = 24;      // of the bucket
  int radius = 8;          // of grow, shrink and feather, in pixels
  bool shows_mask = true;  // a result hides it, a change of the mask shows it again
  float mask_opacity = 0.5f;
  std::array<float, 3> mask_colour = {0.91f, 0.36f, 0.29f};
  View view;
  bool compare = false;     // the slider between before and after
  float compare_at = 0.5f;  // of the picture's width
  bool is_dark = true;
  std::optional<uint64_t> grid_job;  // the job whose pictures are looked at side by side

 private:
  struct Pending {
    JobId id;
    std::filesystem::path stem;
    uint64_t serial;
    std::shared_ptr<const Document> document;  // as it was handed over
    bool is_painted;                           // under its mask
    size_t taken = 0;                          // pictures
  };
  // What a job has made and the document has not got yet: a stroke may be under way.
  struct Arrival {
    Pending from;
    std::shared_ptr<const Picture> picture;  // or
    std::shared_ptr<const MidiFile> song;
  };

  void Replace(Document document);
  // Runs `write` in the background; until it has succeeded the document counts as not saved.
  void RunSave(const std::filesystem::path& path, std::function<void()> write);
  // Puts work that is about to be replaced beside what is recovered after a crash.
  void KeepUnsaved();
  void SavePicture(const std::filesystem::path& path);
  void SaveSong(const std::filesystem::path& path);
  void RenderWave(const std::filesystem::path& path);
  void SubmitSong(Job job);
  void Take(Pending& pending, const JobStatus& status);
  void TakeSong(const Pending& pending, const JobStatus& status);
  // Into the strip's store, and among what was made for the document.
  void Store(const Pending& pending, const Picture& picture,
             std::shared_ptr<const MidiFile> song = nullptr);
  void UseSong(const Result& result);
  void AddArrivals();  // unless a stroke is being drawn
  // Pictures and jobs that nobody will ask for again leave the memory.
  void ForgetOld(const EngineSnapshot& snapshot);
  void AddToDocument(const Pending& pending, const Picture& picture);
  void AddToDocument(const Pending& pending, std::shared_ptr<const MidiFile> song);
  void FollowPlayer();

  Engine& engine_;
  Background& background_;
  ResultStore results_;
  Document document_;
  Document opened_song_;            // as it was
  std::vector<StoredResult> made_;  // for the document, the newest first
  History history_;
  std::optional<Document> before_edit_;
  uint64_t serial_ = 0;
  uint64_t selected_layer_ = 0;
  std::filesystem::path path_;
  bool is_modified_ = false;
  std::atomic<bool> save_failed_ = false;  // what Save gave to the background
  std::filesystem::path state_folder_;
  std::vector<Pending> pending_;
  std::vector<Arrival> arrivals_;
  std::vector<Pending> variations_;  // done, with several pictures to choose from; the newest last
  SynthesiserSearch synthesiser_;
  std::unique_ptr<SongPlayer> player_;  // while a song sounds
  std::optional<Notice> notice_;
};

}  // namespace gesso::ui
