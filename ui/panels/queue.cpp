// The jobs: what runs, what waits, what failed.
#include "ui/panels/widgets.h"

namespace gesso::ui {

namespace {

std::string StateText(const JobStatus& status) {
  switch (status.state) {
    case JobState::kWaiting:
      return "Waits";
    case JobState::kRunning:
      return fmt::format("{:.0f} %, {:.0f} s", status.progress * 100, status.seconds);
    case JobState::kDone:
      return fmt::format("Done in {:.1f} s", status.seconds);
    case JobState::kFailed:
      return status.error->what();
    case JobState::kCancelled:
      return "Stopped";
  }
  return "";
}

void DrawJob(Ui& ui, const std::shared_ptr<const JobStatus>& status, size_t place, size_t waiting) {
  Engine& engine = ui.editor.engine();
  ImGui::PushID(static_cast<int>(status->id));
  const std::string prompt = status->request.prompt.value_or("");
  ImGui::TextWrapped("%s", prompt.empty() ? "(no prompt)" : prompt.c_str());
  if (status->state == JobState::kRunning) {
    ImGui::ProgressBar(static_cast<float>(status->progress), {-1, Scaled(6)}, "");
    if (status->preview != nullptr) {
      const float width = ImGui::GetContentRegionAvail().x;
      ShowPicture(ui.images.Of(status->preview), status->preview->width, status->preview->height,
                  {width, std::min(width, Scaled(160))});
    }
  }
  Hint(ui, StateText(*status));
  if (!IsOver(status->state)) {
    if (ImGui::SmallButton("Stop")) engine.Cancel(status->id);
    if (status->state == JobState::kWaiting) {
      ImGui::SameLine();
      if (place > 0 && ImGui::SmallButton("Sooner")) engine.Move(status->id, place - 1);
      ImGui::SameLine();
      if (place + 1 < waiting && ImGui::SmallButton("Later")) engine.Move(status->id, place + 1);
    }
  } else {
    if (ImGui::SmallButton("Remove")) engine.Forget(status->id);
    if (status->pictures.size() > 1) {
      ImGui::SameLine();
      if (ImGui::SmallButton("Compare pictures")) ui.editor.grid_job = status->id;
    }
  }
  ImGui::Separator();
  ImGui::PopID();
}

}  // namespace

void DrawQueuePanel(Ui& ui) {
  const auto snapshot = ui.editor.engine().snapshot();
  if (snapshot->empty()) return Hint(ui, "Nothing to do. Jobs that are painted show here.");
  size_t waiting = 0;
  for (const auto& status : *snapshot) waiting += status->state == JobState::kWaiting ? 1 : 0;
  size_t place = 0;
  // What is under way comes first, then the newest that are over.
  for (const auto& status : *snapshot) {
    if (IsOver(status->state)) continue;
    DrawJob(ui, status, place, waiting);
    if (status->state == JobState::kWaiting) ++place;
  }
  for (auto status = snapshot->rbegin(); status != snapshot->rend(); ++status) {
    if (IsOver((*status)->state)) DrawJob(ui, *status, 0, 0);
  }
}

}  // namespace gesso::ui
