// Options that were not given on the command line: GESSO_<OPTION> variables first, then the
// configuration file $XDG_CONFIG_HOME/gesso/config.json (~/.config/gesso/config.json).
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace gesso {

// Has `command` take the values of its long options from variables and file before its part of
// the command line is read; `done` is called in between. In the file, keys are long options:
// {"steps": 30, "cfg-scale": 2.5}; keys of other commands are passed over, unknown ones refused.
// Throws kUsage, naming the variable or the file and key, for a value that the option refuses.
void UseSettings(CLI::App& command, std::function<void()> done = nullptr);

}  // namespace gesso
