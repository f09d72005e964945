// How far the canvas is to grow beyond the picture, on each side.
#include <imgui.h>

#include <algorithm>

#include "ui/panels/widgets.h"

namespace gesso::ui {

void DrawOutpainting(Ui& ui) {
  constexpr int64_t kMost = 16384;
  constexpr int64_t kStep = 32;
  const Margins now = ui.editor.request.outpaint.value_or(Margins{});
  int64_t sides[] = {now.left, now.top, now.right, now.bottom};
  Hint(ui, "Beyond the border: pixels on the left, on top, on the right, below");
  ImGui::SetNextItemWidth(-Scaled(76));
  bool changed = ImGui::InputScalarN("##outpaint", ImGuiDataType_S64, sides, 4);
  ui.Mark("outpaint");
  ImGui::SameLine();
  if (ImGui::Button("All +32", {-1, 0})) {
    for (int64_t& side : sides) side += kStep;
    changed = true;
  }
  ui.Mark("outpaint-all");
  Tooltip("The canvas grows by 32 pixels more on each side");
  if (!changed) return;
  for (int64_t& side : sides) side = std::clamp<int64_t>(side, 0, kMost);
  const Margins margins{sides[0], sides[1], sides[2], sides[3]};
  ui.editor.request.outpaint = margins == Margins{} ? std::nullopt : std::optional(margins);
}

}  // namespace gesso::ui
