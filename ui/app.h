// The window from top to bottom: layout, and the loop of frames.
#pragma once

#include "ui/panels/panels.h"
#include "ui/script.h"
#include "ui/state/autosave.h"

namespace gesso::ui {

// Draws frames of an editor on a platform. ImGui's context lives as long as it; one at a time.
class App {
 public:
  App(Editor& editor, Platform& platform, Autosave& autosave,
      const std::filesystem::path& state_folder);
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Draws one frame, after waiting up to `seconds` for input.
  void Frame(double seconds, Script* script);
  // Draws frames until the person or the script is done.
  void Run(Script* script);
  Ui& ui() { return ui_; }

 private:
  void Layout();
  double WaitSeconds(bool has_script) const;

  Editor& editor_;
  Platform& platform_;
  Autosave& autosave_;
  Fonts fonts_;
  ImageTextures images_;
  Canvas canvas_;
  Ui ui_;
  bool is_dark_ = true;
  float scale_ = 0;
  bool draws_again_ = true;  // something is still to be sent to the graphics card
};

}  // namespace gesso::ui
