#include "ui/platform/keys.h"

#include <imgui.h>

#include <map>

#include "pipelines/engine.h"

namespace gesso::ui {

Shortcut ParseShortcut(std::string_view text) {
  static const std::map<std::string_view, Key> kNamed = {
      {"Space", Key::kSpace}, {"Escape", Key::kEscape}, {"Enter", Key::kEnter},
      {"Tab", Key::kTab},     {"Delete", Key::kDelete}, {"Backspace", Key::kBackspace},
      {"F1", Key::kF1},       {"Left", Key::kLeft},     {"Right", Key::kRight},
      {"Home", Key::kHome},   {"End", Key::kEnd},       {"Up", Key::kUp},
      {"Down", Key::kDown}};
  Shortcut shortcut;
  std::string_view rest = text;
  const auto take = [&](std::string_view prefix) {
    if (!rest.starts_with(prefix)) return false;
    rest.remove_prefix(prefix.size());
    return true;
  };
  while (true) {
    if (take("Ctrl+")) {
      shortcut.ctrl = true;
    } else if (take("Shift+")) {
      shortcut.shift = true;
    } else if (take("Alt+")) {
      shortcut.alt = true;
    } else {
      break;
    }
  }
  const auto named = kNamed.find(rest);
  Require(named != kNamed.end() || rest.size() == 1, ErrorKind::kUsage, "'{}' is no key", text);
  shortcut.key = named != kNamed.end() ? static_cast<int>(named->second)
                                       : std::toupper(static_cast<unsigned char>(rest[0]));
  return shortcut;
}

bool IsHeld(Key key) { return ImGui::GetIO().KeysDown[static_cast<int>(key)]; }

bool WasPressed(Key key) { return ImGui::IsKeyPressed(static_cast<int>(key), false); }

bool WasPressed(const Shortcut& shortcut) {
  const ImGuiIO& io = ImGui::GetIO();
  return io.KeyCtrl == shortcut.ctrl && io.KeyShift == shortcut.shift &&
         io.KeyAlt == shortcut.alt && ImGui::IsKeyPressed(shortcut.key);
}

void MapKeys() {
  const std::pair<ImGuiKey, Key> keys[] = {{ImGuiKey_Tab, Key::kTab},
                                           {ImGuiKey_LeftArrow, Key::kLeft},
                                           {ImGuiKey_RightArrow, Key::kRight},
                                           {ImGuiKey_UpArrow, Key::kUp},
                                           {ImGuiKey_DownArrow, Key::kDown},
                                           {ImGuiKey_Home, Key::kHome},
                                           {ImGuiKey_End, Key::kEnd},
                                           {ImGuiKey_Delete, Key::kDelete},
                                           {ImGuiKey_Backspace, Key::kBackspace},
                                           {ImGuiKey_Space, Key::kSpace},
                                           {ImGuiKey_Enter, Key::kEnter},
                                           {ImGuiKey_Escape, Key::kEscape}};
  for (const auto& [index, key] : keys) {
    ImGui::GetIO().KeyMap[index] = static_cast<int>(key);
  }
  const std::pair<ImGuiKey, char> letters[] = {{ImGuiKey_A, 'A'}, {ImGuiKey_C, 'C'},
                                               {ImGuiKey_V, 'V'}, {ImGuiKey_X, 'X'},
                                               {ImGuiKey_Y, 'Y'}, {ImGuiKey_Z, 'Z'}};
  for (const auto& [index, letter] : letters) ImGui::GetIO().KeyMap[index] = letter;
}

}  // namespace gesso::ui
