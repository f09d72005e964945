// Keys by the codes of GLFW, which ImGui passes on, and shortcuts as text ("Ctrl+Shift+Z").
#pragma once

#include <string_view>

namespace gesso::ui {

enum class Key : int {
  kSpace = 32,
  kEscape = 256,
  kEnter = 257,
  kTab = 258,
  kBackspace = 259,
  kDelete = 261,
  kRight = 262,
  kLeft = 263,
  kDown = 264,
  kUp = 265,
  kHome = 268,
  kEnd = 269,
  kF1 = 290,
};

struct Shortcut {
  int key = 0;
  bool ctrl = false;
  bool shift = false;
  bool alt = false;
};

// Throws kUsage for what is no shortcut.
Shortcut ParseShortcut(std::string_view text);

// In this frame; shortcuts with exactly their modifiers.
bool IsHeld(Key key);
bool WasPressed(Key key);
bool WasPressed(const Shortcut& shortcut);

// Has ImGui know the keys that it needs itself, where no backend of its own does.
void MapKeys();

}  // namespace gesso::ui
