// The desktop program, as the command line starts it.
#pragma once

#include <filesystem>

#include "pipelines/engine.h"

namespace gesso::ui {

struct RunOptions {
  std::filesystem::path picture;  // or a project; or nothing
  std::filesystem::path script;   // or nothing
  Device device = Device::kCpu;
  int width = 1440;  // of the window
  int height = 900;
};

// Opens the window and returns when it is closed. Throws kDevice without a display or OpenGL 3,
// and what reading picture and script throws.
void Run(const RunOptions& options);

}  // namespace gesso::ui
