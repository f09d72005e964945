#include "ui/run.h"

#include <cstdlib>

#include "ui/app.h"
#include "ui/state/autosave.h"
#include "ui/state/recent_files.h"

namespace gesso::ui {

namespace {

namespace fs = std::filesystem;

// Where the editor keeps what outlives it: $XDG_STATE_HOME/gesso.
fs::path StateFolder() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder = state != nullptr && *state != '\0'
                        ? fs::path(state)
                        : fs::path(home != nullptr ? home : "/tmp") / ".local" / "state";
  folder /= "gesso";
  std::error_code error;
  fs::create_directories(folder, error);
  Require(!error, ErrorKind::kOutput, "{}: cannot be made ({}); it keeps results and recovery",
          folder.string(), error.message());
  return folder;
}

// ImGui's state for the life of the program.
class ImGuiContextOwner {
 public:
  ImGuiContextOwner() { ImGui::CreateContext(); }
  ~ImGuiContextOwner() { ImGui::DestroyContext(); }
  ImGuiContextOwner(const ImGuiContextOwner&) = delete;
  ImGuiContextOwner& operator=(const ImGuiContextOwner&) = delete;
};

// The picture that was asked for, or else what an earlier run has left unsaved.
void OpenFirst(Editor& editor, const fs::path& state, const fs::path& picture) {
  const std::optional<fs::path> leftover = Autosave::TakeLeftover(state);
  if (leftover) RememberFile(state, *leftover);
  if (!picture.empty()) {
    editor.Open(picture);
    RememberFile(state, picture);
    if (leftover) editor.Tell("There is unsaved work from before: Open shows it under Lately.");
  } else if (leftover) {
    editor.Guard([&] {
      editor.Recover(*leftover);
      editor.Tell("This is what was left unsaved the last time.");
    });
  }
}

}  // namespace

void Run(const RunOptions& options) {
  std::optional<Script> script;
  if (!options.script.empty()) script.emplace(options.script);
  const fs::path state = StateFolder();
  const ImGuiContextOwner context;
  const std::unique_ptr<Platform> platform = OpenWindow(options.width, options.height, "gesso");
  const auto wake = [&] { platform->Wake(); };
  Background background(wake);
  Engine engine(options.device, wake);
  Editor editor(engine, background, state);
  OpenFirst(editor, state, options.picture);
  Autosave autosave(editor, background, state);
  App app(editor, *platform, autosave, state);
  app.Run(script ? &*script : nullptr);
  background.Wait();  // a save that fails leaves the document unsaved
  autosave.Finish();
}

}  // namespace gesso::ui
