// The tools at the left, and the settings of the one in hand.
#include "ui/commands.h"
#include "ui/panels/widgets.h"

namespace gesso::ui {

namespace {

constexpr std::pair<Tool, const char*> kTools[] = {
    {Tool::kBrush, "brush"},     {Tool::kEraser, "eraser"}, {Tool::kRectangle, "rectangle"},
    {Tool::kEllipse, "ellipse"}, {Tool::kLasso, "lasso"},   {Tool::kPolygon, "polygon"},
    {Tool::kBucket, "bucket"},   {Tool::kHand, "hand"}};

void ToolButton(Ui& ui, Tool tool, const char* id) {
  const float side = Scaled(36);
  const bool is_picked = ui.editor.tool == tool;
  const ImVec2 at = ImGui::GetCursorScreenPos();
  if (ImGui::InvisibleButton(id, {side, side})) RunCommand(ui, id);
  ui.Mark(id);
  const Palette& colours = Colours();
  const bool is_hovered = ImGui::IsItemHovered();
  if (is_picked || is_hovered) {
    ImGui::GetWindowDrawList()->AddRectFilled(
        at, {at.x + side, at.y + side}, is_picked ? colours.accent : colours.raised, Scaled(8));
  }
  DrawToolIcon(tool, {at.x + side / 2, at.y + side / 2}, Scaled(8),
               is_picked ? colours.on_accent : colours.text);
  for (const Command& command : Commands()) {
    if (command.id == id) Tooltip(std::string(command.help) + "   " + std::string(command.keys));
  }
}

// A slider for a share, shown in percent.
void Percent(Ui& ui, const char* label, double& value) {
  auto percent = static_cast<float>(value * 100);
  if (Slider(ui, label, percent, 0, 100, "%.0f %%")) value = percent / 100;
}

void MaskButtons(Ui& ui) {
  const float gap = ImGui::GetStyle().ItemSpacing.x;
  const float width = (ImGui::GetContentRegionAvail().x - 2 * gap) / 3;
  const std::pair<const char*, const char*> buttons[] = {
      {"Clear", "clear-mask"}, {"Invert", "invert-mask"}, {"All", "fill-mask"},
      {"Grow", "grow-mask"},   {"Shrink", "shrink-mask"}, {"Feather", "feather-mask"},
      {"Load", "open-mask"},   {"Save", "save-mask"}};
  int column = 0;
  for (const auto& [label, id] : buttons) {
    if (ImGui::Button((std::string(label) + "##mask").c_str(), {width, 0})) RunCommand(ui, id);
    ui.Mark(id);
    for (const Command& command : Commands()) {
      if (command.id == id) Tooltip(std::string(command.help) + "   " + std::string(command.keys));
    }
    if (++column % 3 != 0) ImGui::SameLine();
  }
  ImGui::NewLine();
}

}  // namespace

void DrawToolRail(Ui& ui) {
  for (const auto& [tool, id] : kTools) ToolButton(ui, tool, id);
}

void DrawToolOptions(Ui& ui) {
  Editor& editor = ui.editor;
  Heading(ui, "Mask");
  if (editor.tool == Tool::kBrush || editor.tool == Tool::kEraser) {
    auto size = static_cast<float>(editor.brush.size);
    if (Slider(ui, "Size", size, 1, kMaxBrushSize, "%.0f px", ImGuiSliderFlags_Logarithmic)) {
      editor.brush.size = size;
    }
    Percent(ui, "Hardness", editor.brush.hardness);
    Percent(ui, "Flow", editor.brush.flow);
  }
  if (editor.tool == Tool::kBucket) {
    auto tolerance = static_cast<float>(editor.tolerance);
    if (Slider(ui, "Tolerance", tolerance, 0, 255, "%.0f")) {
      editor.tolerance = static_cast<int>(tolerance);
    }
  } else if (editor.tool != Tool::kHand) {
    Percent(ui, "Opacity", editor.brush.opacity);
  }
  auto radius = static_cast<float>(editor.radius);
  if (Slider(ui, "Grow, shrink and feather by", radius, 1, 64, "%.0f px")) {
    editor.radius = static_cast<int>(radius);
  }
  MaskButtons(ui);
  float shown = editor.mask_opacity * 100;
  if (Slider(ui, "Shown with", shown, 0, 100, "%.0f %%")) editor.mask_opacity = shown / 100;
  ImGui::ColorEdit3("Colour##mask", editor.mask_colour.data(),
                    ImGuiColorEditFlags_NoInputs | ImGuiColorEditFlags_NoLabel);
  ImGui::SameLine();
  ImGui::AlignTextToFramePadding();
  Hint(ui, "Colour of the mask. White in the file is painted, black is kept, grey is in between.");
}

}  // namespace gesso::ui
