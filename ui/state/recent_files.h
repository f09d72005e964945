// The files that were opened and saved lately, the newest first.
#pragma once

#include <filesystem>
#include <vector>

namespace gesso::ui {

constexpr size_t kMaxRecentFiles = 8;

// Those that still exist. An unreadable list is an empty one.
std::vector<std::filesystem::path> RecentFiles(const std::filesystem::path& state_folder);
void RememberFile(const std::filesystem::path& state_folder, const std::filesystem::path& path);

}  // namespace gesso::ui
