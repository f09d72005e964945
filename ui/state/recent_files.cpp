#include "ui/state/recent_files.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "models/io/output_file.h"

namespace gesso::ui {

namespace fs = std::filesystem;

namespace {

fs::path ListPath(const fs::path& state_folder) { return state_folder / "recent"; }

}  // namespace

std::vector<fs::path> RecentFiles(const fs::path& state_folder) {
  std::vector<fs::path> paths;
  std::ifstream file(ListPath(state_folder));
  std::error_code error;
  for (std::string line; std::getline(file, line) && paths.size() < kMaxRecentFiles;) {
    if (fs::exists(line, error)) paths.emplace_back(line);
  }
  return paths;
}

void RememberFile(const fs::path& state_folder, const fs::path& path) {
  const fs::path absolute = fs::absolute(path);
  std::vector<fs::path> paths = RecentFiles(state_folder);
  std::erase(paths, absolute);
  paths.insert(paths.begin(), absolute);
  std::string text;
  for (const fs::path& one : paths) text += one.string() + "\n";
  WriteFile(ListPath(state_folder), text, true);
}

}  // namespace gesso::ui
