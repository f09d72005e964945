#include "pipelines/media/suffix.h"

#include <algorithm>
#include <cctype>

namespace gesso {

std::string SuffixOf(const std::filesystem::path& path) {
  std::string suffix = path.extension().string();
  std::ranges::transform(suffix, suffix.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix;
}

}  // namespace gesso
