#include "ui/state/editor.h"

#include <algorithm>

#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "ui/actions/layer_actions.h"
#include "ui/actions/mask_actions.h"
#include "ui/state/project.h"
#include "ui/state/recent_files.h"

namespace gesso::ui {

namespace fs = std::filesystem;

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

void Editor::Undo() {
  if (is_editing()) return;
  Guard([&] { is_modified_ |= history_.Undo(document_).has_value(); });
}

void Editor::Redo() {
  if (is_editing()) return;
  Guard([&] { is_modified_ |= history_.Redo(document_).has_value(); });
}

void Editor::KeepUnsaved() {
  const auto time = std::chrono::system_clock::now().time_since_epoch();
  const fs::path kept =
      state_folder_ / "recovered" / fmt::format("{}.gesso", time / std::chrono::milliseconds(1));
  auto project = std::make_shared<const Project>(Project{document_, request});
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
  history_.Clear();
  ++serial_;
  selected_layer_ = document_.layers.empty() ? 0 : document_.layers.back().info.id;
  path_.clear();
  is_modified_ = false;
  save_failed_ = false;
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
  if (path.extension() == ".gesso") {
    Project project = ReadProject(path);
    Replace(std::move(project.document));
    request = std::move(project.request);
    path_ = path;
    return;
  }
  Replace(OpenAsDocument(ReadImage(path, 4), path.filename().string()));
  path_ = path;
}

void Editor::Save(const fs::path& path) {
  const std::string suffix = path.extension().string();
  if (suffix == ".gesso") {
    CheckOutput(path, true);
    auto project = std::make_shared<const Project>(Project{document_, request});
    RunSave(path, [project, path] { ProjectWriter().Write(*project, path); });
    is_modified_ = false;
    return;
  }
  const bool is_jpeg = suffix == ".jpg" || suffix == ".jpeg";
  Require(is_jpeg || suffix == ".png", ErrorKind::kUsage,
          "{}: the name must end in .png, .jpg or .gesso", path.string());
  CheckOutput(path, true);
  auto snapshot = std::make_shared<const Document>(document_);
  std::vector<Request> settings;
  for (const Layer& layer : snapshot->layers) {
    if (layer.info.request && layer.info.visible) settings = {*layer.info.request};
  }
  RunSave(path, [path, snapshot, settings, is_jpeg] {
    const Image image = Flatten(*snapshot);
    const auto texts = settings.empty() ? std::vector<PngText>() : MetadataOf(settings);
    WriteFile(path, is_jpeg ? EncodeJpeg(image) : EncodePng(image, texts), true);
  });
  // A picture holds neither layers nor the mask.
  if (document_.layers.size() <= 1 && document_.mask.IsZero()) is_modified_ = false;
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

void Editor::Submit(std::optional<uint64_t> seed) {
  Job job{request};
  job.request.init_image.reset();
  job.request.mask.reset();
  if (seed) job.request.seed = seed;
  const fs::path stem = results_.NewStem();
  auto snapshot = std::make_shared<const Document>(document_);
  const bool is_painted = !document_.layers.empty() && !document_.mask.IsZero();
  const bool has_start = is_painted || (use_picture && !document_.layers.empty());
  if (!has_start) job.request.strength.reset();
  if (has_start) job.request.init_image = stem.string() + "-input.png";
  if (is_painted) job.request.mask = stem.string() + "-mask.png";
  if (!is_painted) job.request.only_masked.reset();
  job.prepare = [snapshot](Request& asked) {
    if (asked.init_image) WriteFile(*asked.init_image, EncodePng(Flatten(*snapshot), {}), true);
    if (asked.mask) WriteFile(*asked.mask, EncodePng(snapshot->mask.ToImage(), {}), true);
  };
  const JobId id = engine_.Submit(std::move(job));
  pending_.push_back({id, stem, serial_, snapshot, is_painted});
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
  for (const Background::News& news : background_.TakeNews()) Tell(news.text, news.is_error);
}

void Editor::Take(Pending& pending, const JobStatus& status) {
  for (; pending.taken < status.pictures.size(); ++pending.taken) {
    const Picture& picture = *status.pictures[pending.taken];
    results_.Add(pending.stem, picture);
    if (*status.request.batch_count == 1) AddToDocument(pending, picture);
  }
  if (status.state == JobState::kFailed) Tell(status.error->what(), true);
  if (!IsOver(status.state) || status.pictures.empty() || *status.request.batch_count == 1) return;
  variations_.push_back(pending);
  grid_job = status.id;
}

void Editor::TakeVariation(JobId id, size_t index) {
  const auto pending = std::ranges::find(variations_, id, &Pending::id);
  const auto snapshot = engine_.snapshot();
  for (const auto& status : *snapshot) {
    if (status->id != id || pending == variations_.end()) continue;
    if (index < status->pictures.size()) AddToDocument(*pending, *status->pictures[index]);
  }
}

void Editor::AddToDocument(const Pending& pending, const Picture& picture) {
  // Another document is not painted into.
  if (pending.serial != serial_ && !document_.empty()) return;
  LayerInfo info = {.name = picture.request.prompt.value_or(""), .request = picture.request};
  if (document_.empty()) {
    Replace(OpenAsDocument(picture.image, info.name));
    document_.layers.back().info.request = picture.request;
    is_modified_ = true;
    return;
  }
  // In the midst of a stroke, the step of the stroke holds both.
  const bool joins = is_editing();
  Document& document = BeginEdit();
  const bool fits =
      picture.image.width == document.width && picture.image.height == document.height;
  if (const auto& margins = picture.request.outpaint; margins && !fits) {
    ResizeCanvas(document, picture.image.width, picture.image.height,
                 static_cast<int>(margins->left), static_cast<int>(margins->top));
  }
  selected_layer_ = pending.is_painted && fits
                        ? AddPaintedLayer(document, picture.image, *pending.document, info)
                        : AddLayer(document, picture.image, info);
  if (joins) return;
  EndEdit("Paint");
  shows_mask &= !pending.is_painted;
}

bool Editor::IsPainting(JobId id) const {
  return std::ranges::any_of(pending_, [&](const Pending& pending) {
    return pending.id == id && pending.serial == serial_ && pending.is_painted;
  });
}

bool Editor::is_busy() const { return !pending_.empty() || !background_.is_idle(); }

void Editor::Use(const Result& result) {
  Guard([&] {
    const Image image = ResultStore::ImageOf(result);
    if (document_.empty()) return OpenResult(result);
    const LayerInfo info = {.name = result.request.prompt.value_or(""), .request = result.request};
    Edit("Add result",
         [&](Document& document) { selected_layer_ = AddLayer(document, image, info); });
  });
}

void Editor::UseSettings(const Result& result) {
  request = result.request;
  request.init_image.reset();
  request.mask.reset();
}

void Editor::OpenResult(const Result& result) {
  Guard([&] {
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
