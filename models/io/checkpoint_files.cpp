#include "models/io/checkpoint_files.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>

#include "kernels/core/error.h"
#include "models/io/printable.h"

namespace gesso {

namespace {

constexpr std::array<std::string_view, 2> kIndex = {".safetensors.index.json", ".bin.index.json"};
constexpr std::array<std::string_view, 5> kSingle = {".safetensors", ".pth", ".pt", ".ckpt",
                                                     ".bin"};

// Names of the files in `folder` that end in one of `suffixes`, sorted.
std::vector<std::string> FilesEnding(const std::filesystem::path& folder,
                                     std::span<const std::string_view> suffixes) {
  std::error_code error;
  const std::filesystem::directory_iterator files(folder, error);
  Require(!error, ErrorKind::kIo, "{}: cannot be listed ({})", folder.string(), error.message());
  std::vector<std::string> names;
  for (const auto& entry : files) {
    const std::string name = entry.path().filename().string();
    const auto fits = [&](std::string_view suffix) { return name.ends_with(suffix); };
    if (entry.is_regular_file(error) && std::ranges::any_of(suffixes, fits)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

// Hugging Face folders hold the same weights in two formats under fixed names: the first counts.
void LeaveOutSecondFormat(std::vector<std::string>& names) {
  for (const std::string suffix : {"", ".index.json"}) {
    if (std::ranges::count(names, "model.safetensors" + suffix) == 0) continue;
    std::erase(names, "pytorch_model.bin" + suffix);
  }
}

std::vector<std::string> CheckpointNames(const std::filesystem::path& folder) {
  std::vector<std::string> names = FilesEnding(folder, kIndex);
  if (names.empty()) names = FilesEnding(folder, kSingle);
  LeaveOutSecondFormat(names);
  return names;
}

}  // namespace

std::vector<std::filesystem::path> CheckpointsIn(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const std::string& name : CheckpointNames(folder)) files.push_back(folder / name);
  return files;
}

std::filesystem::path OnlyCheckpoint(const std::filesystem::path& folder) {
  const std::vector<std::string> names = CheckpointNames(folder);
  Require(!names.empty(), ErrorKind::kFormat, "{}: the folder holds no checkpoint (*{})",
          folder.string(), fmt::join(kSingle, ", *"));
  Require(names.size() == 1, ErrorKind::kFormat,
          "{}: the folder holds several checkpoints ({}); name one of them", folder.string(),
          Printable(fmt::format("{}", fmt::join(names, ", ")), 300));
  return folder / names.front();
}

}  // namespace gesso
