// A checkpoint as a set of named tensors: safetensors (single or sharded, memory-mapped) or a
// PyTorch zip file (.pth, .pt, .ckpt; read without executing anything).
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/tensor.h"

namespace gesso {

struct Weights {
  std::filesystem::path path;
  std::map<std::string, Tensor> tensors;  // views into the mapped file; const
  // safetensors: "__metadata__". Torch files: what their dictionary holds beside tensors, as JSON
  // text (models/io/torch_zip.h). k-diffusion keeps the model's config in "config" in both.
  std::map<std::string, std::string> metadata;
  std::vector<std::span<const std::byte>> mapped;  // of the files, for Release

  // Throws kFormat naming the file if `name` is absent.
  const Tensor& At(const std::string& name) const;

  // The tensors whose names begin with `prefix` ("vae."), without it.
  Weights Under(std::string_view prefix) const;

  // Gives the memory that the tensor takes in its mapped file back to the system: for those who
  // have copied it. Whoever reads it again waits for the file, no more.
  void Release(const Tensor& tensor) const;
};

// Opens by content, not by suffix: safetensors, *.safetensors.index.json, torch zip, or a folder
// that holds exactly one of them; an index stands for its shards, and model.safetensors for the
// pytorch_model.bin beside it. Throws kIo / kFormat /
// kUnsupported; a Git-LFS pointer, an HTML page and a truncated download are named for what they
// are.
Weights OpenWeights(const std::filesystem::path& path);

}  // namespace gesso
