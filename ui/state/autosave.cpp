#include "ui/state/autosave.h"

#include <algorithm>
#include <set>

#include "ui/state/clock.h"

namespace gesso::ui {

namespace {

namespace fs = std::filesystem;

// Half of what may be lost: the other half is for writing.
constexpr std::chrono::milliseconds kPause{2500};

fs::path FolderOf(const fs::path& state_folder) { return state_folder / "autosave"; }

// What an editor writes is named after it: <name>.gesso, <name>.gesso.<letters>.part,
// <name>.lock.
fs::path LockOf(const fs::path& folder, const std::string& name) {
  return folder / (name + ".lock");
}
fs::path ProjectOf(const fs::path& folder, const std::string& name) {
  return folder / (name + ".gesso");
}

// The names of editors that have left something in `folder`, or are at work.
std::set<std::string> NamesIn(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    names.insert(name.substr(0, name.find('.')));
  }
  return names;
}

// Of an editor that was killed in the midst of writing: what it had written before is whole.
void RemoveParts(const fs::path& project) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(project.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(project.filename().string() + ".") && name.ends_with(".part")) {
      fs::remove(entry.path(), error);
    }
  }
}

}  // namespace

Autosave::Autosave(Editor& editor, Background& background, const fs::path& state_folder)
    : editor_(editor), background_(background) {
  const fs::path folder = FolderOf(state_folder);
  fs::create_directories(folder);
  for (int64_t time = UnixMilliseconds(); lock_ == nullptr; ++time) {
    const std::string name = std::to_string(time);
    path_ = ProjectOf(folder, name);
    if (!fs::exists(path_)) lock_ = FileLock::TryTake(LockOf(folder, name));
  }
}

void Autosave::Update() {
  if (std::chrono::steady_clock::now() - last_ < kPause || editor_.is_editing()) return;
  if (!editor_.is_modified() || !background_.is_idle()) return;
  last_ = std::chrono::steady_clock::now();
  if (SharesAll(editor_.document(), written_) && editor_.request == written_request_) return;
  Write();
}

void Autosave::Write() {
  written_ = editor_.document();
  written_request_ = editor_.request;
  auto project = std::make_shared<const Project>(editor_.ToProject(false));
  background_.Run(
      [project, path = path_, writer = writer_, lock = lock_] { writer->Write(*project, path); });
}

void Autosave::Finish() {
  if (editor_.is_modified()) return Write();
  background_.Run([path = path_, lock = lock_] { fs::remove(path); });
}

std::optional<fs::path> Autosave::TakeLeftover(const fs::path& state_folder) {
  const fs::path saves = FolderOf(state_folder);
  std::error_code error;
  std::vector<fs::directory_entry> found;
  std::vector<std::unique_ptr<FileLock>> locks;  // so that another that starts leaves them alone
  for (const std::string& name : NamesIn(saves)) {
    std::unique_ptr<FileLock> lock = FileLock::TryTake(LockOf(saves, name));
    if (lock == nullptr) continue;  // its editor is running
    locks.push_back(std::move(lock));
    const fs::path project = ProjectOf(saves, name);
    RemoveParts(project);
    if (fs::exists(project, error)) found.emplace_back(project);
  }
  if (found.empty()) return std::nullopt;
  const auto newest = std::ranges::max_element(
      found, {}, [&](const fs::directory_entry& entry) { return entry.last_write_time(error); });
  const fs::path folder = state_folder / "recovered";
  fs::create_directories(folder, error);
  const fs::path kept = folder / fmt::format("{}.gesso", UnixMilliseconds());
  fs::rename(newest->path(), kept, error);
  if (error) return std::nullopt;
  return kept;
}

}  // namespace gesso::ui
