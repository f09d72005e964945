// The bar on top: files, undo, zoom, comparison, theme.
#include "ui/commands.h"
#include "ui/panels/widgets.h"

namespace gesso::ui {

namespace {

// `why_not` says why it is not enabled.
void CommandButton(Ui& ui, const char* label, const char* id, bool enabled = true,
                   bool active = false, const std::string& why_not = "") {
  ImGui::BeginDisabled(!enabled);
  if (QuietButton(label, active)) RunCommand(ui, id);
  ImGui::EndDisabled();
  ui.Mark(id);
  for (const Command& command : Commands()) {
    if (command.id != id) continue;
    const std::string keys(command.keys);
    Tooltip(std::string(command.help) + (keys.empty() ? "" : "   " + keys) +
            (why_not.empty() ? "" : "\n" + why_not));
  }
  ImGui::SameLine(0, Scaled(2));
}

void Gap() {
  ImGui::Dummy({Scaled(10), 0});
  ImGui::SameLine(0, 0);
}

// Only songs can be heard; where they cannot, the tooltip says why.
void PlayButton(Ui& ui) {
  const Editor& editor = ui.editor;
  if (editor.document().song == nullptr) return;
  const bool can_play = editor.synthesiser().found.has_value();
  Gap();
  CommandButton(ui, editor.is_playing() ? "Stop###play" : "Play###play", "play",
                can_play || editor.is_playing(), editor.is_playing(),
                can_play ? "" : editor.synthesiser().why_not);
}

}  // namespace

void DrawTopBar(Ui& ui) {
  const Editor& editor = ui.editor;
  const bool has_picture = !editor.document().empty();
  ImGui::AlignTextToFramePadding();
  Heading(ui, "gesso");
  ImGui::SameLine(0, Scaled(18));
  CommandButton(ui, "Open", "open");
  CommandButton(ui, "Save", "save-as", has_picture);
  Gap();
  CommandButton(ui, "Undo", "undo", editor.history().can_undo());
  CommandButton(ui, "Redo", "redo", editor.history().can_redo());
  Gap();
  CommandButton(ui, "-", "zoom-out", has_picture);
  const std::string zoom = fmt::format("{:.0f} %##zoom", editor.view.zoom() * 100);
  if (QuietButton(zoom.c_str(), false, {Scaled(68), 0})) RunCommand(ui, "one-to-one");
  Tooltip("One pixel a pixel   Ctrl+1");
  ImGui::SameLine(0, Scaled(2));
  CommandButton(ui, "+", "zoom-in", has_picture);
  CommandButton(ui, "Fit", "fit", has_picture);
  CommandButton(ui, "Compare", "compare", has_picture, editor.compare);
  PlayButton(ui);

  const char* theme = editor.is_dark ? "Light" : "Dark";
  const float right = ImGui::CalcTextSize(theme).x + ImGui::CalcTextSize("Keys").x + Scaled(62);
  ImGui::SameLine(ImGui::GetWindowWidth() - right);
  CommandButton(ui, theme, "theme");
  CommandButton(ui, "Keys", "help");
  const std::string name = editor.path().empty() ? "" : editor.path().filename().string();
  if (!has_picture) return;
  const std::string title =
      (name.empty() ? "Untitled" : name) + (editor.is_modified() ? " *" : "") +
      fmt::format("   {} x {}", editor.document().width, editor.document().height);
  const float width = ImGui::CalcTextSize(title.c_str()).x;
  ImGui::SameLine(ImGui::GetWindowWidth() - right - width - Scaled(20));
  ImGui::TextColored(ImGui::ColorConvertU32ToFloat4(Colours().muted), "%s", title.c_str());
}

}  // namespace gesso::ui
