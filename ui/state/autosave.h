// The project as it is now, written every few seconds; and what was left behind by an editor that
// ended without saving, by a crash or by its window being closed.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "models/io/file_lock.h"
#include "ui/state/editor.h"
#include "ui/state/project.h"

namespace gesso::ui {

class Autosave {
 public:
  // Keeps references. Several editors may run at once: each has a file of its own, and as long as
  // it runs, a lock that says so. Throws kOutput where the folder cannot be written.
  Autosave(Editor& editor, Background& background, const std::filesystem::path& state_folder);

  // Once a frame: writes, in the background, what has changed if the last time is long enough ago.
  void Update();
  // When the program ends: unsaved work stays for the next start, saved work needs no copy.
  void Finish();

  // Work that an editor which no longer runs has left unsaved, however it ended: its lock is free.
  // Each is given once: it moves to the folder "recovered".
  static std::optional<std::filesystem::path> TakeLeftover(
      const std::filesystem::path& state_folder);

 private:
  void Write();

  Editor& editor_;
  Background& background_;
  std::filesystem::path path_;
  std::shared_ptr<FileLock> lock_;  // also the background's, while it writes
  std::shared_ptr<ProjectWriter> writer_ = std::make_shared<ProjectWriter>();
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  Document written_;
  Request written_request_;
};

}  // namespace gesso::ui
