#include "models/io/weights.h"

#include "models/io/file_bytes.h"
#include "models/io/printable.h"
#include "models/io/safetensors.h"

namespace gesso {

const Tensor& Weights::At(const std::string& name) const {
  const auto found = tensors.find(name);
  Require(found != tensors.end(), ErrorKind::kFormat, "{}: has no tensor '{}'", path.string(),
          Printable(name));
  return found->second;
}

Weights OpenWeights(const std::filesystem::path& path) {
  const FileBytes file = MapFile(path);
  Require(IsSafetensors(file.bytes), ErrorKind::kFormat, "{}: is not a safetensors file",
          path.string());
  return ParseSafetensors(file);
}

}  // namespace gesso
