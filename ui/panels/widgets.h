// Small widgets that several panels use.
#pragma once

#include <imgui.h>

#include <string>

#include "ui/panels/panels.h"

namespace gesso::ui {

// A button in the accent colour.
bool AccentButton(const char* label, ImVec2 size);
// A button without a frame until the mouse is over it; `active` shows it pressed in.
bool QuietButton(const char* label, bool active = false, ImVec2 size = {0, 0});
// A small heading.
void Heading(const Ui& ui, const char* text);
// Text in the muted colour and the small typeface.
void Hint(const Ui& ui, const std::string& text);
// A tooltip for the widget that was drawn last.
void Tooltip(const std::string& text);
// A slider with its label above; returns true while the value changes.
bool Slider(const Ui& ui, const char* label, float& value, float low, float high,
            const char* format, ImGuiSliderFlags flags = 0);
// A picture fitted into a box of `size`, in its middle. Advances the cursor by `size`.
void ShowPicture(Texture texture, int width, int height, ImVec2 size);
// A tool's icon, drawn with lines around `middle`.
void DrawToolIcon(Tool tool, ImVec2 middle, float radius, ImU32 colour);

}  // namespace gesso::ui
