// The panels of the window, one file each. Each draws itself into ImGui's current window, or opens
// one of its own, and changes the editor through its public functions only.
#pragma once

#include <imgui.h>

#include <map>
#include <string>

#include "ui/canvas/canvas.h"
#include "ui/theme.h"

namespace gesso::ui {

enum class Dialog { kNone, kOpen, kSave, kOpenMask, kSaveMask };

// What panels work with.
struct Ui {
  Editor& editor;
  Platform& platform;
  ImageTextures& images;
  Canvas& canvas;
  Fonts& fonts;
  std::filesystem::path state_folder;

  Dialog dialog = Dialog::kNone;
  bool shows_help = false;
  bool wants_quit = false;
  // The middle of widgets on the screen by name, so that scripts can click them.
  std::map<std::string, Point> marks = {};

  // Names the widget that was drawn last.
  void Mark(const std::string& name) {
    const ImVec2 low = ImGui::GetItemRectMin();
    const ImVec2 high = ImGui::GetItemRectMax();
    marks[name] = {(low.x + high.x) / 2, (low.y + high.y) / 2};
  }
};

void DrawTopBar(Ui& ui);
void DrawToolRail(Ui& ui);
void DrawToolOptions(Ui& ui);
void DrawPaintPanel(Ui& ui);   // prompt and settings
void DrawOutpainting(Ui& ui);  // how far the picture is to grow
void DrawLayersPanel(Ui& ui);
void DrawQueuePanel(Ui& ui);
void DrawResultStrip(Ui& ui);
void DrawHelp(Ui& ui);
void DrawGrid(Ui& ui);  // variations side by side
void DrawFileDialog(Ui& ui);
void DrawNotice(Ui& ui);
void DrawEmptyCanvas(Ui& ui);  // where there is no picture yet

}  // namespace gesso::ui
