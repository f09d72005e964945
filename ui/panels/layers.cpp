// The layers, the topmost first: visibility, order, opacity.
#include "ui/actions/layer_actions.h"
#include "ui/panels/widgets.h"

namespace gesso::ui {

namespace {

void Opacity(Ui& ui, const Layer& layer) {
  float percent = layer.info.opacity * 100;
  const uint64_t id = layer.info.id;
  // One step for the whole movement of the slider.
  if (Slider(ui, "Opacity", percent, 0, 100, "%.0f %%")) {
    SetLayerOpacity(ui.editor.BeginEdit(), id, percent / 100);
  }
  if (ui.editor.is_editing() && !ImGui::IsMouseDown(ImGuiMouseButton_Left)) {
    ui.editor.EndEdit("Layer opacity");
  }
}

void Row(Ui& ui, const Layer& layer, size_t index, size_t count) {
  Editor& editor = ui.editor;
  const LayerInfo info = layer.info;
  ImGui::PushID(static_cast<int>(info.id));
  bool visible = info.visible;
  if (ImGui::Checkbox("##visible", &visible)) {
    editor.Edit(visible ? "Show layer" : "Hide layer",
                [&](Document& document) { SetLayerVisible(document, info.id, visible); });
  }
  Tooltip("Shown");
  ui.Mark(fmt::format("layer-{}-visible", index));
  ImGui::SameLine();
  const float buttons = Scaled(66);
  const std::string name = info.name.empty() ? "Layer" : info.name;
  if (ImGui::Selectable((name + "##name").c_str(), editor.selected_layer() == info.id, 0,
                        {ImGui::GetContentRegionAvail().x - buttons, ImGui::GetFrameHeight()})) {
    editor.SelectLayer(info.id);
  }
  ui.Mark(fmt::format("layer-{}", index));
  ImGui::SameLine();
  ImGui::BeginDisabled(index + 1 == count);
  if (ImGui::ArrowButton("##up", ImGuiDir_Up)) {
    editor.Edit("Raise layer", [&](Document& d) { MoveLayer(d, info.id, index + 1); });
  }
  ImGui::EndDisabled();
  ImGui::SameLine(0, Scaled(2));
  ImGui::BeginDisabled(index == 0);
  if (ImGui::ArrowButton("##down", ImGuiDir_Down)) {
    editor.Edit("Lower layer", [&](Document& d) { MoveLayer(d, info.id, index - 1); });
  }
  ImGui::EndDisabled();
  ImGui::PopID();
}

}  // namespace

void DrawLayersPanel(Ui& ui) {
  Editor& editor = ui.editor;
  const size_t count = editor.document().layers.size();
  if (count == 0) return Hint(ui, "No layers yet. Every result becomes one.");
  for (size_t i = count; i > 0; --i) {
    if (i <= editor.document().layers.size())
      Row(ui, editor.document().layers[i - 1], i - 1, count);
  }
  ImGui::Dummy({0, Scaled(4)});
  const Layer* selected = editor.document().Find(editor.selected_layer());
  if (selected == nullptr) return;
  Opacity(ui, *selected);
  const uint64_t id = editor.selected_layer();
  if (ImGui::Button("Delete")) {
    editor.Edit("Delete layer", [&](Document& document) { RemoveLayer(document, id); });
  }
  ui.Mark("delete-layer");
  ImGui::SameLine();
  if (ImGui::Button("Flatten")) editor.Edit("Flatten", FlattenLayers);
  ui.Mark("flatten");
  Tooltip("Make one layer of all that are shown");
}

}  // namespace gesso::ui
