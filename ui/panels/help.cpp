// The page of keys (F1).
#include "ui/commands.h"
#include "ui/panels/widgets.h"

namespace gesso::ui {

void DrawHelp(Ui& ui) {
  if (!ui.shows_help) return;
  const ImVec2 screen = ImGui::GetIO().DisplaySize;
  ImGui::SetNextWindowPos({screen.x / 2, screen.y / 2}, 0, {0.5f, 0.5f});
  ImGui::SetNextWindowSize({Scaled(760), std::min(screen.y * 0.9f, Scaled(620))});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, Scaled(10));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 1);
  ImGui::Begin("Keys", nullptr,
               ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoResize | ImGuiWindowFlags_NoMove |
                   ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoCollapse);
  Heading(ui, "Keys");
  ImGui::SameLine(ImGui::GetWindowWidth() - Scaled(80));
  if (ImGui::Button("Close")) ui.shows_help = false;
  ui.Mark("close-help");
  const size_t half = (Commands().size() + 1) / 2;
  ImGui::Columns(2, "columns", false);
  for (size_t i = 0; i < Commands().size(); ++i) {
    if (i == half) ImGui::NextColumn();
    const Command& command = Commands()[i];
    if (command.keys.empty()) continue;
    ImGui::PushStyleColor(ImGuiCol_Text, Colours().accent);
    ImGui::TextUnformatted(command.keys.begin(), command.keys.end());
    ImGui::PopStyleColor();
    ImGui::SameLine(Scaled(140));
    ImGui::TextUnformatted(command.help.begin(), command.help.end());
  }
  ImGui::Columns(1);
  ImGui::Dummy({0, Scaled(4)});
  Hint(ui,
       "Alt turns every tool into its eraser. The middle button moves the view. Files can be "
       "dropped on the window.");
  ImGui::End();
  ImGui::PopStyleVar(2);
}

}  // namespace gesso::ui
