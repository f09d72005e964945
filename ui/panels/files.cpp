// The dialogs that ask for a file: a path to type, and what lies in its folder.
#include <imgui.h>
#include <imgui_stdlib.h>

#include <algorithm>

#include "pipelines/media/picture_format.h"
#include "pipelines/media/suffix.h"
#include "ui/panels/widgets.h"
#include "ui/state/recent_files.h"

namespace gesso::ui {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxEntries = 500;

struct Entry {
  fs::path path;
  bool is_folder;
};

bool Suits(const fs::path& path) {
  return FindPictureFormat(path) != nullptr || IsMidiName(path) || SuffixOf(path) == ".gesso";
}

std::vector<Entry> EntriesOf(const fs::path& folder) {
  std::vector<Entry> entries;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const bool is_folder = entry.is_directory(error);
    const bool is_hidden = entry.path().filename().string().starts_with(".");
    if (is_hidden || (!is_folder && !Suits(entry.path()))) continue;
    entries.push_back({entry.path(), is_folder});
    if (entries.size() == kMaxEntries) break;
  }
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    return a.is_folder != b.is_folder ? a.is_folder : a.path < b.path;
  });
  return entries;
}

std::string TitleOf(Dialog dialog, bool is_song) {
  switch (dialog) {
    case Dialog::kOpen:
      return "Open a picture, a song (.mid) or a project";
    case Dialog::kSave:
      return "Save as " + std::string(is_song ? ".mid, .wav, " : "") + PictureSuffixes() +
             " or .gesso (project)";
    case Dialog::kOpenMask:
      return "Load a mask";
    case Dialog::kSaveMask:
      return "Save the mask as .png";
    case Dialog::kNone:
      break;
  }
  return "";
}

void Accept(Ui& ui, const fs::path& path) {
  const Dialog dialog = std::exchange(ui.dialog, Dialog::kNone);
  ui.editor.Guard([&] {
    switch (dialog) {
      case Dialog::kOpen:
        ui.editor.Open(path);
        break;
      case Dialog::kSave:
        ui.editor.Save(path);
        break;
      case Dialog::kOpenMask:
        ui.editor.OpenMask(path);
        break;
      case Dialog::kSaveMask:
        ui.editor.SaveMask(path);
        break;
      case Dialog::kNone:
        return;
    }
    if (dialog == Dialog::kOpen || dialog == Dialog::kSave) RememberFile(ui.state_folder, path);
  });
}

// The files of the folder, and those used lately. Returns the one that was chosen.
std::optional<fs::path> List(Ui& ui, fs::path& folder, bool shows_recent) {
  static std::vector<Entry> entries;
  static std::vector<fs::path> recent;
  static fs::path listed;
  if (ImGui::IsWindowAppearing()) listed.clear();
  if (listed != folder) {
    listed = folder;
    entries = EntriesOf(folder);
    recent = RecentFiles(ui.state_folder);
    for (const Entry& entry : entries) ui.fonts.Need(entry.path.filename().string());
  }
  std::optional<fs::path> chosen;
  ImGui::BeginChild("list", {0, -ImGui::GetFrameHeightWithSpacing()}, false);
  if (shows_recent && !recent.empty()) {
    Hint(ui, "Lately");
    for (const fs::path& path : recent) {
      if (ImGui::Selectable(path.c_str())) chosen = path;
    }
    Hint(ui, folder.string());
  }
  if (ImGui::Selectable("..")) folder = folder.parent_path();
  for (const Entry& entry : entries) {
    const std::string name = entry.path.filename().string() + (entry.is_folder ? "/" : "");
    if (!ImGui::Selectable(name.c_str())) continue;
    if (entry.is_folder) {
      folder = entry.path;
    } else {
      chosen = entry.path;
    }
  }
  ImGui::EndChild();
  return chosen;
}

}  // namespace

void DrawFileDialog(Ui& ui) {
  if (ui.dialog == Dialog::kNone) return;
  static std::string typed;
  static fs::path folder;
  const bool saves = ui.dialog == Dialog::kSave || ui.dialog == Dialog::kSaveMask;
  ImGui::OpenPopup("File");
  ImGui::SetNextWindowSize({Scaled(600), Scaled(460)});
  const ImVec2 screen = ImGui::GetIO().DisplaySize;
  ImGui::SetNextWindowPos({screen.x / 2, screen.y / 2}, 0, {0.5f, 0.5f});
  if (!ImGui::BeginPopupModal("File", nullptr,
                              ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoResize)) {
    return;
  }
  if (ImGui::IsWindowAppearing()) {
    const fs::path& now = ui.editor.path();
    folder = now.empty() ? fs::current_path() : fs::absolute(now).parent_path();
    typed = saves && !now.empty() ? now.string() : "";
    ImGui::SetKeyboardFocusHere();
  }
  Heading(ui, TitleOf(ui.dialog, ui.editor.document().song != nullptr).c_str());
  ImGui::SetNextItemWidth(-1);
  bool accepts = ImGui::InputTextWithHint("##path", "Path, or choose below", &typed,
                                          ImGuiInputTextFlags_EnterReturnsTrue);
  ui.Mark("path");
  if (const std::optional<fs::path> chosen = List(ui, folder, !saves)) {
    typed = chosen->string();
    accepts |= !saves;
  }
  accepts |= AccentButton(saves ? "Save" : "Open", {Scaled(110), 0});
  ui.Mark("accept");
  ImGui::SameLine();
  const bool closes = ImGui::Button("Cancel", {Scaled(110), 0});
  if (accepts && !typed.empty()) {
    const fs::path path = fs::path(typed).is_absolute() ? fs::path(typed) : folder / typed;
    ImGui::CloseCurrentPopup();
    Accept(ui, path);
  } else if (closes) {
    ui.dialog = Dialog::kNone;
    ImGui::CloseCurrentPopup();
  }
  ImGui::EndPopup();
}

}  // namespace gesso::ui
