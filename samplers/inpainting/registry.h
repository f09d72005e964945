// The table of inpainters: what `gesso models` lists and tests walk. Adding one is its function
// (inpainters.h) and one line in registry.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/options.h"
#include "samplers/inpainting/inpainter.h"

namespace gesso {

struct InpainterInfo {
  std::string name;
  std::string help;
  std::string paper;
  std::vector<OptionInfo> options = {};
  std::function<Inpainter(std::string_view options)> make = nullptr;
};

const std::vector<InpainterInfo>& Inpainters();

// "repaint:jump_length=5". Throws kUsage for an unknown name, an unknown option or a value out of
// range.
Inpainter MakeInpainter(std::string_view method);

}  // namespace gesso
