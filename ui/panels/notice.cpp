// What the editor has to say, for some seconds; and the canvas where there is no picture yet.
#include "ui/commands.h"
#include "ui/panels/widgets.h"

namespace gesso::ui {

void DrawNotice(Ui& ui) {
  if (!ui.editor.notice()) return;
  const Notice& notice = *ui.editor.notice();
  using Seconds = std::chrono::duration<double>;
  const double age = Seconds(std::chrono::steady_clock::now() - notice.since).count();
  const double life = notice.is_error ? 12 : 3;
  if (age > life) return;
  const ImVec2 screen = ImGui::GetIO().DisplaySize;
  ImGui::SetNextWindowPos({screen.x / 2, screen.y - Scaled(150)}, 0, {0.5f, 1});
  ImGui::SetNextWindowSizeConstraints({0, 0}, {Scaled(560), Scaled(300)});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, Scaled(8));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 1);
  ImGui::PushStyleColor(ImGuiCol_Border, notice.is_error ? Colours().danger : Colours().line);
  ImGui::Begin("Notice", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoInputs |
                   ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoFocusOnAppearing);
  ImGui::PushTextWrapPos(Scaled(520));
  ImGui::TextUnformatted(notice.text.c_str());
  ImGui::PopTextWrapPos();
  ImGui::End();
  ImGui::PopStyleColor();
  ImGui::PopStyleVar(2);
}

void DrawEmptyCanvas(Ui& ui) {
  const ImVec2 at = ImGui::GetWindowPos();
  const ImVec2 size = ImGui::GetWindowSize();
  const auto centred = [&](const char* text, float y, ImU32 colour) {
    const float width = ImGui::CalcTextSize(text).x;
    ImGui::GetWindowDrawList()->AddText({at.x + (size.x - width) / 2, at.y + size.y / 2 + y},
                                        colour, text);
  };
  ImGui::PushFont(ui.fonts.strong());
  centred("Open a picture, or describe one.", Scaled(-26), Colours().text);
  ImGui::PopFont();
  centred(
      "Drop a file here, press Ctrl+O, or type a prompt and press Ctrl+Enter. F1 shows all keys.",
      Scaled(2), Colours().muted);
}

}  // namespace gesso::ui
