// Limits that keep the project readable and small enough to travel: lines a file, bytes a
// folder, and no path of somebody's machine in any text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace gesso::lint {

inline constexpr size_t kMaxLines = 500;

struct SizeBudget {
  std::string folder;  // relative to the root, with '/' at its end; "" is everything
  std::uintmax_t bytes;
};

// "path: 612 lines (at most 500)" for each of these files that is longer.
std::vector<std::string> LengthFaults(const std::filesystem::path& root,
                                      const std::vector<std::string>& files, size_t max_lines);

// "assets/: 43000000 bytes (at most 41943040)" for each budget that the files exceed.
std::vector<std::string> SizeFaults(const std::filesystem::path& root,
                                    const std::vector<std::string>& files,
                                    const std::vector<SizeBudget>& budgets);

// Lines that name one of these folders of a machine, each given as "/folder/", "path:line: text".
std::vector<std::string> MachinePathFaults(std::string_view path, std::string_view text,
                                           const std::vector<std::string>& machine_folders);

// Whether a file is data rather than text: it holds a zero byte.
bool IsBinary(std::string_view text);

}  // namespace gesso::lint
