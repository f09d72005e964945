#include "ui/state/editor.h"

#include <algorithm>

#include "models/io/output_file.h"
#include "pipelines/installed_models.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "pipelines/media/picture_format.h"
#include "pipelines/media/suffix.h"
#include "ui/actions/layer_actions.h"
#include "ui/actions/mask_actions.h"
#include "ui/state/clock.h"
#include "ui/state/project.h"
#include "ui/state/recent_files.h"
#include "ui/state/song.h"

namespace gesso::ui {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMaxVariationJobs = 4;  // whose pictures are kept in memory to choose from
constexpr size_t kMaxJobsOver = 50;      // that the queue still shows

}  // namespace

Editor::Editor(Engine& engine, Background& background, const fs::path& state_folder)
    : engine_(engine),
      background_(background),
      results_(state_folder / "results", background),
      state_folder_(state_folder) {
  request.only_masked = true;
}

Editor::~Editor() { background_.Wait(); }

void Editor::Edit(const std::string& name, const std::function<void(Document&)>& change) {
  if (is_editing()) return;  // a stroke is being drawn
  BeginEdit();
  try {
    change(document_);
  } catch (const Error& error) {
    document_ = *before_edit_;
    Tell(error.what(), true);
  }
  EndEdit(name);
}

Document& Editor::BeginEdit() {
  if (!before_edit_) before_edit_ = document_;
  return document_;
}

void Editor::EndEdit(const std::string& name) {
  if (!before_edit_) return;
  const bool has_changed = history_.Push(name, *before_edit_, document_);
  is_modified_ |= has_changed;
  shows_mask |= !document_.mask.SharesAllTiles(before_edit_->mask);
  before_edit_.reset();
  if (document_.Find(selected_layer_) == nullptr) {
    selected_layer_ = document_.layers.empty() ? 0 : document_.layers.back().info.id;
  }
}

void Editor::AbandonEdit() {
  if (before_edit_) document_ = *std::exchange(before_edit_, std::nullopt);
}

Document Editor::Before() const {
  if (document_.song != nullptr) return opened_song_;
  Document before(document_.width, document_.height);
  if (!document_.layers.empty()) before.layers.push_back(document_.layers.front());
  return before;
}

void Editor::Undo() {
  if (is_editing()) return;
  Guard([&] { is_modified_ |= history_.Undo(document_).has_value(); });
}

void Editor::Redo() {
  if (is_editing()) return;
  Guard([&] { is_modified_ |= history_.Redo(document_).has_value(); });
}

void Editor::KeepUnsaved() {
  const fs::path kept = state_folder_ / "recovered" / fmt::format("{}.gesso", UnixMilliseconds());
  auto project = std::make_shared<const Project>(ToProject(true));
  background_.Run([project, kept] {
    fs::create_directories(kept.parent_path());
    ProjectWriter().Write(*project, kept);
  });
  RememberFile(state_folder_, kept);
  Tell("What was not saved is kept: Open shows it under Lately.");
}

void Editor::Replace(Document document) {
  if (is_modified() && !document_.empty()) KeepUnsaved();
  before_edit_.reset();
  document_ = std::move(document);
  made_.clear();
  history_.Clear();
  ++serial_;
  selected_layer_ = document_.layers.empty() ? 0 : document_.layers.back().info.id;
  path_.clear();
  is_modified_ = false;
  save_failed_ = false;
  player_.reset();
  opened_song_ = document_.song != nullptr ? document_ : Document();
  if (document_.song != nullptr) synthesiser_ = FindSynthesiser();
}

void Editor::New(int width, int height) {
  Image white{width, height, 1,
              std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height), 255)};
  Replace(OpenAsDocument(white, "Canvas"));
}

void Editor::Recover(const fs::path& path) {
  Open(path);
  path_.clear();
  is_modified_ = true;
}

void Editor::Open(const fs::path& path) {
  if (SuffixOf(path) == ".gesso") {
    Project project = ReadProject(path);
    Replace(std::move(project.document));
    request = std::move(project.request);
    made_ = results_.Import(std::move(project.results));
  } else if (IsMidiName(path)) {
    Replace(OpenSong(ReadMidi(path), path.string()));
  } else {
    Replace(OpenAsDocument(ReadImage(path, 4), path.filename().string()));
  }
  path_ = path;
}

Project Editor::ToProject(bool with_pictures) const {
  return {document_, request, made_, with_pictures};
}

void Editor::Save(const fs::path& path) {
  if (IsMidiName(path)) return SaveSong(path);
  if (SuffixOf(path) == ".wav") return RenderWave(path);
  if (SuffixOf(path) != ".gesso") return SavePicture(path);
  CheckOutput(path, true);
  auto project = std::make_shared<const Project>(ToProject(true));
  RunSave(path, [project, path] { ProjectWriter().Write(*project, path); });
  is_modified_ = false;
}

void Editor::SavePicture(const fs::path& path) {
  const PictureFormat* format = FindPictureFormat(path);
  Require(format != nullptr, ErrorKind::kUsage,
          "{}: the name must end in {} or .gesso, that of a song in .mid or .wav", path.string(),
          PictureSuffixes());
  CheckOutput(path, true);
  auto snapshot = std::make_shared<const Document>(document_);
  std::vector<Request> settings;
  for (const Layer& layer : snapshot->layers) {
    if (layer.info.request && layer.info.visible) settings = {*layer.info.request};
  }
  RunSave(path, [path, snapshot, settings, format] {
    const auto texts = settings.empty() ? std::vector<PngText>() : MetadataOf(settings);
    WriteFile(path, format->encode(Flatten(*snapshot), texts), true);
  });
  // A picture holds neither layers nor the mask, nor notes.
  const bool holds_all = document_.layers.size() <= 1 && document_.song == nullptr;
  if (holds_all && document_.mask.IsZero()) is_modified_ = false;
}

void Editor::SaveSong(const fs::path& path) {
  Require(document_.song != nullptr, ErrorKind::kUsage,
          "{}: what is open is a picture, which has no notes; a song comes from a .mid file",
          path.string());
  CheckOutput(path, true);
  RunSave(path, [path, song = document_.song] { WriteMidi(path, *song, true); });
  if (document_.mask.IsZero()) is_modified_ = false;
}

void Editor::RenderWave(const fs::path& path) {
  Require(document_.song != nullptr, ErrorKind::kUsage,
          "{}: what is open is a picture, which has no sound", path.string());
  CheckOutput(path, true);
  const Synthesiser synthesiser = RequireSynthesiser();
  background_.Run([this, path, synthesiser, song = document_.song] {
    RenderSong(synthesiser, *song, path, true);
    background_.Tell({"Saved " + path.filename().string(), false});
  });
}

void Editor::RunSave(const fs::path& path, std::function<void()> write) {
  path_ = path;
  save_failed_ = true;
  background_.Run([this, path, write = std::move(write)] {
    write();
    save_failed_ = false;
    background_.Tell({"Saved " + path.filename().string(), false});
  });
}

void Editor::OpenMask(const fs::path& path) {
  const Image mask = ReadImage(path, 1);
  Edit("Load mask", [&](Document& document) { LoadMask(document, mask); });
}

void Editor::SaveMask(const fs::path& path) {
  Require(path.extension() == ".png", ErrorKind::kUsage, "{}: a mask's name must end in .png",
          path.string());
  CheckOutput(path, true);
  background_.Run([this, path, mask = std::make_shared<const TiledImage>(document_.mask)] {
    WriteFile(path, EncodePng(mask->ToImage(), {}), true);
    background_.Tell({"Saved " + path.filename().string(), false});
  });
}

std::string_view Editor::usual_model() const {
  return document_.song != nullptr ? kMusicModel : kDefaultModel;
}

void Editor::Submit(std::optional<uint64_t> seed) {
  Job job{request};
  job.request.init_image.reset();
  job.request.mask.reset();
  if (seed) job.request.seed = seed;
  if (document_.song != nullptr) return SubmitSong(std::move(job));
  const fs::path stem = results_.NewStem();
  auto snapshot = std::make_shared<const Document>(document_);
  const bool has_picture = !document_.layers.empty();
  const bool has_mask = has_picture && !document_.mask.IsZero();
  const bool is_painted = has_mask || (has_picture && request.outpaint);
  const bool has_start = is_painted || (use_picture && has_picture);
  if (!has_start) job.request.strength.reset();
  if (has_start) job.request.init_image = stem.string() + "-input.png";
  if (has_mask) job.request.mask = stem.string() + "-mask.png";
  if (!is_painted) job.request.only_masked.reset();
  job.prepare = [snapshot](Request& asked) {
    if (asked.init_image) WriteFile(*asked.init_image, EncodePng(Flatten(*snapshot), {}), true);
    if (asked.mask) WriteFile(*asked.mask, EncodePng(snapshot->mask.ToImage(), {}), true);
  };
  const JobId id = engine_.Submit(std::move(job));
  pending_.push_back({id, stem, serial_, snapshot, is_painted});
}

void Editor::SubmitSong(Job job) {
  if (document_.mask.IsZero()) {
    return Tell("Draw a mask over the bars, or the notes, that are to be composed again.", true);
  }
  // What comes of a second one would not know of the first one's notes.
  if (std::ranges::any_of(pending_, [&](const Pending& p) { return p.serial == serial_; })) {
    return Tell("The song is being composed: wait for it, or stop it.", true);
  }
  // A default of pictures, not somebody's wish.
  job.request.only_masked.reset();
  job.song = SongPart{document_.song, std::make_shared<const Image>(document_.mask.ToImage()),
                      path_.empty() ? "the song" : path_.string()};
  const JobId id = engine_.Submit(std::move(job));
  pending_.push_back(
      {id, results_.NewStem(), serial_, std::make_shared<const Document>(document_), true});
}

void Editor::Update() {
  results_.Update();
  const auto snapshot = engine_.snapshot();
  for (const auto& status : *snapshot) {
    const auto found = std::ranges::find(pending_, status->id, &Pending::id);
    if (found != pending_.end()) Take(*found, *status);
  }
  std::erase_if(pending_, [&](const Pending& pending) {
    return std::ranges::none_of(*snapshot, [&](const auto& status) {
      return status->id == pending.id && !IsOver(status->state);
    });
  });
  AddArrivals();
  ForgetOld(*snapshot);
  for (const Background::News& news : background_.TakeNews()) Tell(news.text, news.is_error);
  FollowPlayer();
}

void Editor::AddArrivals() {
  // What is being drawn may yet be called off, and a stroke counts on the size of its mask.
  if (is_editing()) return;
  for (Arrival& arrival : std::exchange(arrivals_, {})) {
    if (arrival.picture != nullptr) AddToDocument(arrival.from, *arrival.picture);
    if (arrival.song != nullptr) AddToDocument(arrival.from, std::move(arrival.song));
  }
}

void Editor::Take(Pending& pending, const JobStatus& status) {
  for (; pending.taken < status.pictures.size(); ++pending.taken) {
    const std::shared_ptr<const Picture>& picture = status.pictures[pending.taken];
    Store(pending, *picture);
    const bool is_alone = *status.request.batch_count == 1;
    if (is_alone && pending.serial == serial_) arrivals_.push_back({pending, picture, nullptr});
  }
  if (status.state == JobState::kFailed) Tell(status.error->what(), true);
  if (!IsOver(status.state)) return;
  if (status.song != nullptr) TakeSong(pending, status);
  if (status.pictures.empty()) return;
  if (*status.request.batch_count == 1) return engine_.ForgetPictures(status.id);
  variations_.push_back(pending);
  grid_job = status.id;
}

void Editor::TakeSong(const Pending& pending, const JobStatus& status) {
  Guard([&] {
    const Image roll = DrawComposed(*status.song, pending.document->mask);
    Store(pending, {roll, 0, status.request}, status.song);
    arrivals_.push_back({pending, nullptr, status.song});
  });
}

void Editor::Store(const Pending& pending, const Picture& picture,
                   std::shared_ptr<const MidiFile> song) {
  StoredResult result = results_.Add(pending.stem, picture, std::move(song));
  if (pending.serial != serial_) return;  // made for another document
  made_.insert(made_.begin(), std::move(result));
  if (made_.size() > kMaxProjectResults) made_.pop_back();
}

void Editor::ForgetOld(const EngineSnapshot& snapshot) {
  std::erase_if(variations_, [&](const Pending& job) {
    return std::ranges::none_of(snapshot, [&](const auto& s) { return s->id == job.id; });
  });
  while (variations_.size() > kMaxVariationJobs) {
    engine_.ForgetPictures(variations_.front().id);
    variations_.erase(variations_.begin());
  }
  auto over = static_cast<size_t>(
      std::ranges::count_if(snapshot, [](const auto& s) { return IsOver(s->state); }));
  for (size_t i = 0; over > kMaxJobsOver; ++i, --over) engine_.Forget(snapshot[i]->id);
}

void Editor::TakeVariation(JobId id, size_t index) {
  const auto pending = std::ranges::find(variations_, id, &Pending::id);
  const auto snapshot = engine_.snapshot();
  for (const auto& status : *snapshot) {
    if (status->id != id || pending == variations_.end()) continue;
    if (index >= status->pictures.size()) continue;
    arrivals_.push_back({*pending, status->pictures[index], nullptr});
  }
  AddArrivals();
}

void Editor::AddToDocument(const Pending& pending, const Picture& picture) {
  // Another document is not painted into.
  if (pending.serial != serial_ && !document_.empty()) return;
  LayerInfo info = {.name = picture.request.prompt.value_or(""), .request = picture.request};
  if (document_.empty()) {
    const std::vector<StoredResult> made = made_;  // so far for the empty document
    Replace(OpenAsDocument(picture.image, info.name));
    made_ = made;
    document_.layers.back().info.request = picture.request;
    is_modified_ = true;
    return;
  }
  const int width = picture.image.width;
  const int height = picture.image.height;
  Edit("Paint", [&](Document& document) {
    Document before = *pending.document;  // as it was painted into
    if (const auto& m = picture.request.outpaint; m && pending.is_painted) {
      for (Document* one : {&document, &before}) {
        // Not one that has grown meanwhile.
        if (one->width + m->left + m->right != width) continue;
        if (one->height + m->top + m->bottom != height) continue;
        ResizeCanvas(*one, width, height, static_cast<int>(m->left), static_cast<int>(m->top));
      }
      if (request.outpaint == m) request.outpaint.reset();  // done
    }
    const auto fits = [&](const Document& one) {
      return one.width == width && one.height == height;
    };
    selected_layer_ = pending.is_painted && fits(document) && fits(before)
                          ? AddPaintedLayer(document, picture.image, before, info)
                          : AddLayer(document, picture.image, info);
  });
  shows_mask &= !pending.is_painted;
}

void Editor::AddToDocument(const Pending& pending, std::shared_ptr<const MidiFile> song) {
  if (pending.serial != serial_) return;
  if (document_.song != pending.document->song) {
    return Tell("The song was another when this was composed for it; the strip below has it.",
                true);
  }
  Edit("Compose", [&](Document& document) { ReplaceSong(document, std::move(song)); });
  shows_mask = false;
}

void Editor::PlayOrStop() {
  if (is_playing()) return player_.reset();
  Guard([&] {
    Require(document_.song != nullptr, ErrorKind::kUsage, "only a song (.mid) can be played");
    player_ = std::make_unique<SongPlayer>(RequireSynthesiser(), *document_.song);
  });
}

void Editor::FollowPlayer() {
  if (player_ == nullptr) return;
  bool sounds = false;
  Guard([&] { sounds = player_->IsPlaying(); });
  if (!sounds) player_.reset();
}

bool Editor::IsPainting(JobId id) const {
  return std::ranges::any_of(pending_, [&](const Pending& pending) {
    return pending.id == id && pending.serial == serial_ && pending.is_painted;
  });
}

bool Editor::is_busy() const { return !pending_.empty() || !background_.is_idle(); }

void Editor::Use(const Result& result) {
  Guard([&] {
    if (document_.empty()) return OpenResult(result);
    if (result.is_song) return UseSong(result);
    const Image image = ResultStore::ImageOf(result);
    const LayerInfo info = {.name = result.request.prompt.value_or(""), .request = result.request};
    Edit("Add result",
         [&](Document& document) { selected_layer_ = AddLayer(document, image, info); });
  });
}

void Editor::UseSong(const Result& result) {
  std::shared_ptr<const MidiFile> song = ResultStore::SongOf(result);
  Require(
      document_.song != nullptr && HaveSameBars(*document_.song, *song), ErrorKind::kUsage,
      "this is a song of other bars than what is open; use it as input (a document of its own)");
  Edit("Use result", [&](Document& document) { ReplaceSong(document, std::move(song)); });
}

void Editor::UseSettings(const Result& result) {
  request = result.request;
  request.init_image.reset();
  request.mask.reset();
}

void Editor::OpenResult(const Result& result) {
  Guard([&] {
    if (result.is_song) return Replace(OpenSong(*ResultStore::SongOf(result), "the song"));
    Replace(OpenAsDocument(ResultStore::ImageOf(result), result.request.prompt.value_or("")));
    document_.layers.back().info.request = result.request;
  });
}

void Editor::Tell(const std::string& text, bool is_error) {
  notice_ = Notice{text, is_error, std::chrono::steady_clock::now()};
}

void Editor::Guard(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    Tell(error.what(), true);
  }
}

}  // namespace gesso::ui
