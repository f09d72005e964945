// Everything that can be done by a key, by name: what shortcuts, the help page, buttons and scripts
// share.
#pragma once

#include <string_view>
#include <vector>

#include "ui/panels/panels.h"

namespace gesso::ui {

struct Command {
  std::string_view id;
  std::string_view help;
  std::string_view keys;  // as ParseShortcut takes them, or nothing
  void (*run)(Ui& ui);
};

const std::vector<Command>& Commands();

// Throws kUsage for a name that is none.
void RunCommand(Ui& ui, std::string_view id);

// Runs the commands whose keys were pressed in this frame. While text is being typed, only those
// with Ctrl+Enter and F1 count.
void RunShortcuts(Ui& ui);

}  // namespace gesso::ui
