#include "models/io/weights.h"

#include <functional>
#include <vector>

#include "models/io/checkpoint_files.h"
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
