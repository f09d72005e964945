#include "ui/state/autosave.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace gesso::ui {

namespace {

namespace fs = std::filesystem;

// Half of what may be lost: the other half is for writing.
constexpr std::chrono::milliseconds kPause{2500};

fs::path FolderOf(const fs::path& state_folder) { return state_folder / "autosave"; }

bool IsRunning(const std::string& process) {
  char* end = nullptr;
  const long id = std::strtol(process.c_str(), &end, 10);
  return id > 0 && id != getpid() && *end == '\0' &&
         (kill(static_cast<pid_t>(id), 0) == 0 || errno == EPERM);
}

}  // namespace

Autosave::Autosave(Editor& editor, Background& background, const fs::path& state_folder)
    : editor_(editor),
      background_(background),
      path_(FolderOf(state_folder) / (std::to_string(getpid()) + ".gesso")) {
  fs::create_directories(FolderOf(state_folder));
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
  background_.Run([project, path = path_, writer = writer_] { writer->Write(*project, path); });
}

void Autosave::Finish() {
  if (editor_.is_modified()) return Write();
  background_.Run([path = path_] { fs::remove(path); });
}

std::optional<fs::path> Autosave::TakeLeftover(const fs::path& state_folder) {
  std::error_code error;
  std::vector<fs::directory_entry> found;
  for (const auto& entry : fs::directory_iterator(FolderOf(state_folder), error)) {
    const std::string name = entry.path().filename().string();
    if (IsRunning(name.substr(0, name.find('.')))) continue;
    if (name.ends_with(".gesso")) found.push_back(entry);
    // It was killed in the midst of writing: what it had written before is whole.
    if (name.ends_with(".part")) fs::remove(entry.path(), error);
  }
  if (found.empty()) return std::nullopt;
  const auto newest = std::ranges::max_element(
      found, {}, [&](const fs::directory_entry& entry) { return entry.last_write_time(error); });
  const fs::path folder = state_folder / "recovered";
  fs::create_directories(folder, error);
  const auto time = std::chrono::system_clock::now().time_since_epoch();
  const fs::path kept = folder / fmt::format("{}.gesso", time / std::chrono::milliseconds(1));
  fs::rename(newest->path(), kept, error);
  if (error) return std::nullopt;
  return kept;
}

}  // namespace gesso::ui
