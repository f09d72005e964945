#include "models/io/weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "models/io/file_bytes.h"
#include "models/io/printable.h"
#include "models/io/safetensors.h"
#include "models/io/sharded.h"
#include "models/io/sniff.h"
#include "models/io/torch_zip.h"
#include "models/io/zip_archive.h"

namespace gesso {

namespace {

Weights ParseSingle(const FileBytes& file) {
  if (IsSafetensors(file.bytes)) return ParseSafetensors(file);
  if (IsZip(file.bytes)) return ParseTorchZip(file);
  Fail(ErrorKind::kFormat, "{}: is {}", file.path.string(), DescribeForeign(file.bytes));
}

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

// The folder's one checkpoint; an index stands for the shards beside it.
std::filesystem::path OnlyCheckpoint(const std::filesystem::path& folder) {
  constexpr std::array<std::string_view, 2> kIndex = {".safetensors.index.json", ".bin.index.json"};
  constexpr std::array<std::string_view, 5> kSingle = {".safetensors", ".pth", ".pt", ".ckpt",
                                                       ".bin"};
  std::vector<std::string> names = FilesEnding(folder, kIndex);
  if (names.empty()) names = FilesEnding(folder, kSingle);
  LeaveOutSecondFormat(names);
  Require(!names.empty(), ErrorKind::kFormat, "{}: the folder holds no checkpoint (*{})",
          folder.string(), fmt::join(kSingle, ", *"));
  Require(names.size() == 1, ErrorKind::kFormat,
          "{}: the folder holds several checkpoints ({}); name one of them", folder.string(),
          Printable(fmt::format("{}", fmt::join(names, ", ")), 300));
  return folder / names.front();
}

}  // namespace

const Tensor& Weights::At(const std::string& name) const {
  const auto found = tensors.find(name);
  Require(found != tensors.end(), ErrorKind::kFormat, "{}: has no tensor '{}'", path.string(),
          Printable(name));
  return found->second;
}

Weights Weights::Under(std::string_view prefix) const {
  Weights part;
  part.path = path;
  part.mapped = mapped;
  for (auto it = tensors.lower_bound(std::string(prefix)); it != tensors.end(); ++it) {
    if (!it->first.starts_with(prefix)) break;
    part.tensors.emplace(it->first.substr(prefix.size()), it->second);
  }
  return part;
}

void Weights::Release(const Tensor& tensor) const {
  const auto* const begin = static_cast<const std::byte*>(tensor.view().data);
  for (const std::span<const std::byte> file : mapped) {
    if (std::less<>{}(begin, file.data()) || !std::less<>{}(begin, file.data() + file.size())) {
      continue;
    }
    ReleasePages(file.subspan(static_cast<size_t>(begin - file.data()), tensor.view().bytes()));
  }
}

Weights OpenWeights(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return OpenWeights(OnlyCheckpoint(path));
  const FileBytes file = MapFile(path);
  // A safetensors file of unlucky header size begins with '{' too, so it is asked for first.
  if (IsSafetensors(file.bytes) || !IsJson(file.bytes)) return ParseSingle(file);
  return OpenSharded(file, [](const auto& shard) { return ParseSingle(MapFile(shard)); });
}

}  // namespace gesso
