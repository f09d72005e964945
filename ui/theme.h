// How the editor looks: colours, spacing and typefaces, from here only.
#pragma once

#include <imgui.h>

#include <set>
#include <string_view>

namespace gesso::ui {

struct Palette {
  ImU32 desk;  // behind the picture
  ImU32 panel;
  ImU32 raised;  // fields and cards on a panel
  ImU32 hovered;
  ImU32 line;  // between panels
  ImU32 text;
  ImU32 muted;   // text of less weight
  ImU32 accent;  // the one colour
  ImU32 on_accent;
  ImU32 danger;
};

const Palette& Colours();
// Sets ImGui's style; lengths grow with `scale`.
void ApplyTheme(bool dark, float scale);
float Scaled(float length);  // by the scale of ApplyTheme

// Typefaces with the glyphs that are needed: those of European languages, and whatever else is
// asked for, like Chinese in a prompt.
class Fonts {
 public:
  // `text` (UTF-8) will be shown.
  void Need(std::string_view text);
  // Builds ImGui's atlas if it lacks something. Returns whether it did; then it has to be uploaded.
  // Between frames only.
  bool Update(float scale);

  ImFont* regular() const { return regular_; }
  ImFont* strong() const { return strong_; }
  ImFont* small() const { return small_; }

 private:
  ImFont* Load(float size, bool strong);

  std::set<ImWchar> extra_;
  ImVector<ImWchar> ranges_;
  bool is_stale_ = true;
  float scale_ = 0;
  ImFont* regular_ = nullptr;
  ImFont* strong_ = nullptr;
  ImFont* small_ = nullptr;
};

}  // namespace gesso::ui
