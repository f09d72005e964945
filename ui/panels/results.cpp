// The strip of results below the picture, and the grid in which variations are compared.
#include "ui/panels/widgets.h"

namespace gesso::ui {

void DrawResultStrip(Ui& ui) {
  const std::vector<Result>& results = ui.editor.results().results();
  if (results.empty()) return Hint(ui, "What you make is kept here, also after a restart.");
  const float side = ImGui::GetContentRegionAvail().y - ImGui::GetStyle().ScrollbarSize;
  for (size_t i = 0; i < results.size(); ++i) {
    const Result& result = results[i];
    ImGui::PushID(result.path.c_str());
    const float seen = ImGui::GetScrollX() + ImGui::GetWindowWidth();
    const bool is_seen =
        ImGui::GetCursorPosX() < seen && ImGui::GetCursorPosX() + side > ImGui::GetScrollX();
    ImGui::BeginGroup();
    ShowPicture(is_seen ? ui.images.Of(result.thumbnail) : 0, result.thumbnail->width,
                result.thumbnail->height, {side, side});
    ImGui::EndGroup();
    ui.Mark(fmt::format("result-{}", i));
    Tooltip(result.request.prompt.value_or("") +
            fmt::format("\nseed {}, {}\nDouble click: {}. Right click: more.",
                        result.request.seed.value_or(0), result.request.model.value_or(""),
                        result.is_song ? "in the song's place" : "as a layer"));
    const bool is_chosen = ImGui::IsItemHovered() && ImGui::IsMouseDoubleClicked(0);
    bool stop = false;  // the list may be another one now
    if (ImGui::BeginPopupContextItem("menu")) {
      if (ImGui::MenuItem(result.is_song ? "In the song's place" : "As a layer"))
        ui.editor.Use(result), stop = true;
      if (ImGui::MenuItem("Use as input (a document of its own)"))
        ui.editor.OpenResult(result), stop = true;
      if (ImGui::MenuItem("Take over its settings")) ui.editor.UseSettings(result);
      ImGui::EndPopup();
    }
    if (is_chosen) ui.editor.Use(result), stop = true;
    ImGui::PopID();
    if (stop) return;
    ImGui::SameLine();
  }
}

void DrawGrid(Ui& ui) {
  if (!ui.editor.grid_job) return;
  std::shared_ptr<const JobStatus> job;
  for (const auto& status : *ui.editor.engine().snapshot()) {
    if (status->id == *ui.editor.grid_job) job = status;
  }
  if (job == nullptr || job->pictures.empty()) return ui.editor.grid_job.reset();
  ImGui::OpenPopup("Variations");
  const ImVec2 screen = ImGui::GetIO().DisplaySize;
  ImGui::SetNextWindowSize({screen.x * 0.7f, screen.y * 0.8f});
  ImGui::SetNextWindowPos({screen.x / 2, screen.y / 2}, 0, {0.5f, 0.5f});
  if (!ImGui::BeginPopupModal("Variations", nullptr,
                              ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoResize))
    return;
  Heading(ui, "Variations");
  ImGui::SameLine(ImGui::GetWindowWidth() - Scaled(90));
  const bool closes = ImGui::Button("Close");
  ui.Mark("close-grid");
  const auto columns =
      static_cast<int>(std::ceil(std::sqrt(static_cast<double>(job->pictures.size()))));
  const float gap = ImGui::GetStyle().ItemSpacing.x;
  const float side = (ImGui::GetContentRegionAvail().x - gap * static_cast<float>(columns)) /
                     static_cast<float>(columns);
  bool is_chosen = false;
  for (size_t i = 0; i < job->pictures.size(); ++i) {
    const std::shared_ptr<const Picture> picture = job->pictures[i];
    const std::shared_ptr<const Image> image(picture, &picture->image);
    if (static_cast<int>(i) % columns != 0) ImGui::SameLine();
    ShowPicture(ui.images.Of(image), image->width, image->height, {side, side});
    ui.Mark(fmt::format("variation-{}", i));
    Tooltip(fmt::format("seed {}; click to take it as a layer", *picture->request.seed));
    if (!ImGui::IsItemClicked()) continue;
    ui.editor.TakeVariation(job->id, i);
    is_chosen = true;
  }
  if (closes || is_chosen) {
    ui.editor.grid_job.reset();
    ImGui::CloseCurrentPopup();
  }
  ImGui::EndPopup();
}

}  // namespace gesso::ui
