#include "tests/lint/limits.h"

#include <cctype>

#include "tests/lint/tree.h"

namespace gesso::lint {
namespace {

// Whether `folder` stands in the line as the beginning of an absolute path.
bool NamesFolder(std::string_view line, std::string_view folder) {
  for (size_t at = line.find(folder); at != line.npos; at = line.find(folder, at + 1)) {
    if (at == 0) return true;
    const char before = line[at - 1];
    const bool goes_on = std::isalnum(static_cast<unsigned char>(before)) != 0 || before == '_' ||
                         before == '-' || before == '.' || before == '}' || before == '/';
    if (!goes_on) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> LengthFaults(const std::filesystem::path& root,
                                      const std::vector<std::string>& files, size_t max_lines) {
  std::vector<std::string> faults;
  for (const std::string& file : files) {
    const size_t count = Lines(ReadText(root / file)).size();
    if (count <= max_lines) continue;
    faults.push_back(file + ": " + std::to_string(count) + " lines (at most " +
                     std::to_string(max_lines) + ")");
  }
  return faults;
}

std::vector<std::string> SizeFaults(const std::filesystem::path& root,
                                    const std::vector<std::string>& files,
                                    const std::vector<SizeBudget>& budgets) {
  std::vector<std::string> faults;
  for (const SizeBudget& budget : budgets) {
    std::uintmax_t bytes = 0;
    for (const std::string& file : files) {
      if (file.starts_with(budget.folder)) bytes += std::filesystem::file_size(root / file);
    }
    if (bytes <= budget.bytes) continue;
    faults.push_back((budget.folder.empty() ? "all files" : budget.folder) + ": " +
                     std::to_string(bytes) + " bytes (at most " + std::to_string(budget.bytes) +
                     ")");
  }
  return faults;
}

std::vector<std::string> MachinePathFaults(std::string_view path, std::string_view text,
                                           const std::vector<std::string>& machine_folders) {
  std::vector<std::string> faults;
  const std::vector<std::string> lines = Lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const std::string& folder : machine_folders) {
      if (!NamesFolder(lines[i], folder)) continue;
      faults.push_back(std::string(path) + ":" + std::to_string(i + 1) + ": " + lines[i]);
      break;
    }
  }
  return faults;
}

bool IsBinary(std::string_view text) { return text.find('\0') != text.npos; }

}  // namespace gesso::lint
