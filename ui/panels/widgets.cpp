#include "ui/panels/widgets.h"

#include <algorithm>
#include <cmath>

namespace gesso::ui {

bool AccentButton(const char* label, ImVec2 size) {
  const Palette& colours = Colours();
  ImGui::PushStyleColor(ImGuiCol_Button, colours.accent);
  ImGui::PushStyleColor(ImGuiCol_ButtonHovered, colours.accent);
  ImGui::PushStyleColor(ImGuiCol_ButtonActive, colours.accent);
  ImGui::PushStyleColor(ImGuiCol_Text, colours.on_accent);
  const bool pressed = ImGui::Button(label, size);
  ImGui::PopStyleColor(4);
  return pressed;
}

bool QuietButton(const char* label, bool active, ImVec2 size) {
  const Palette& colours = Colours();
  ImGui::PushStyleColor(ImGuiCol_Button, active ? colours.raised : colours.panel);
  ImGui::PushStyleColor(ImGuiCol_Text, active ? colours.accent : colours.text);
  const bool pressed = ImGui::Button(label, size);
  ImGui::PopStyleColor(2);
  return pressed;
}

void Heading(const Ui& ui, const char* text) {
  ImGui::PushFont(ui.fonts.strong());
  ImGui::TextUnformatted(text);
  ImGui::PopFont();
}

void Hint(const Ui& ui, const std::string& text) {
  ImGui::PushFont(ui.fonts.small());
  ImGui::PushStyleColor(ImGuiCol_Text, Colours().muted);
  ImGui::TextWrapped("%s", text.c_str());
  ImGui::PopStyleColor();
  ImGui::PopFont();
}

void Tooltip(const std::string& text) {
  if (!ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled)) return;
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {Scaled(10), Scaled(7)});
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(Scaled(320));
  ImGui::TextUnformatted(text.c_str());
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
  ImGui::PopStyleVar();
}

bool Slider(const Ui& ui, const char* label, float& value, float low, float high,
            const char* format, ImGuiSliderFlags flags) {
  ImGui::PushID(label);
  ImGui::BeginGroup();
  Hint(ui, label);
  ImGui::SetNextItemWidth(-1);
  const bool changed = ImGui::SliderFloat("##value", &value, low, high, format,
                                          flags | ImGuiSliderFlags_AlwaysClamp);
  ImGui::EndGroup();
  ImGui::PopID();
  return changed;
}

void ShowPicture(Texture texture, int width, int height, ImVec2 size) {
  const ImVec2 at = ImGui::GetCursorScreenPos();
  ImGui::Dummy(size);
  if (texture == 0 || width <= 0 || height <= 0) return;
  const float zoom =
      std::min(size.x / static_cast<float>(width), size.y / static_cast<float>(height));
  const ImVec2 shown = {static_cast<float>(width) * zoom, static_cast<float>(height) * zoom};
  const ImVec2 low = {at.x + (size.x - shown.x) / 2, at.y + (size.y - shown.y) / 2};
  ImGui::GetWindowDrawList()->AddImageRounded(
      reinterpret_cast<ImTextureID>(static_cast<uintptr_t>(texture)), low,
      {low.x + shown.x, low.y + shown.y}, {0, 0}, {1, 1}, IM_COL32_WHITE, Scaled(4));
}

void DrawToolIcon(Tool tool, ImVec2 m, float r, ImU32 colour) {
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const float w = Scaled(1.6f);
  const auto at = [&](float x, float y) { return ImVec2{m.x + x * r, m.y + y * r}; };
  const auto line = [&](std::initializer_list<ImVec2> points, bool closed) {
    draw.AddPolyline(points.begin(), static_cast<int>(points.size()), colour,
                     closed ? ImDrawFlags_Closed : ImDrawFlags_None, w);
  };
  switch (tool) {
    case Tool::kBrush:
      line({at(0.9f, -0.9f), at(-0.1f, 0.1f)}, false);
      draw.AddCircleFilled(at(-0.45f, 0.45f), r * 0.42f, colour, 16);
      break;
    case Tool::kEraser:
      line({at(-0.9f, 0.3f), at(0.2f, -0.8f), at(0.9f, -0.1f), at(-0.2f, 1.0f)}, true);
      line({at(-0.35f, -0.25f), at(0.35f, 0.45f)}, false);
      break;
    case Tool::kRectangle:
      line({at(-0.85f, -0.65f), at(0.85f, -0.65f), at(0.85f, 0.65f), at(-0.85f, 0.65f)}, true);
      break;
    case Tool::kEllipse:
      draw.AddCircle(m, r * 0.85f, colour, 32, w);
      break;
    case Tool::kLasso:
      draw.AddBezierCubic(at(-0.5f, 0.9f), at(-1.6f, -0.9f), at(1.8f, -1.5f), at(0.7f, 0.5f),
                          colour, w);
      draw.AddBezierQuadratic(at(0.7f, 0.5f), at(0.1f, 1.0f), at(-0.5f, 0.3f), colour, w);
      break;
    case Tool::kPolygon:
      line({at(-0.8f, 0.7f), at(-0.5f, -0.7f), at(0.5f, -0.3f), at(0.9f, 0.6f)}, true);
      for (const ImVec2 corner :
           {at(-0.8f, 0.7f), at(-0.5f, -0.7f), at(0.5f, -0.3f), at(0.9f, 0.6f)}) {
        draw.AddCircleFilled(corner, w * 1.3f, colour, 12);
      }
      break;
    case Tool::kBucket:
      line({at(-0.8f, 0.1f), at(0, -0.7f), at(0.8f, 0.1f), at(0, 0.9f)}, true);
      line({at(-0.75f, 0.1f), at(0.75f, 0.1f)}, false);
      draw.AddCircleFilled(at(0.95f, 0.7f), w * 1.4f, colour, 12);
      break;
    case Tool::kHand:
      line({at(0, -0.95f), at(0, 0.95f)}, false);
      line({at(-0.95f, 0), at(0.95f, 0)}, false);
      line({at(-0.25f, -0.7f), at(0, -0.95f), at(0.25f, -0.7f)}, false);
      line({at(-0.25f, 0.7f), at(0, 0.95f), at(0.25f, 0.7f)}, false);
      line({at(-0.7f, -0.25f), at(-0.95f, 0), at(-0.7f, 0.25f)}, false);
      line({at(0.7f, -0.25f), at(0.95f, 0), at(0.7f, 0.25f)}, false);
      break;
  }
}

}  // namespace gesso::ui
