// The safetensors format: u64 header size, JSON header {name: {dtype, shape, data_offsets}}, bytes.
// Official source: safetensors/safetensors safetensors/src/tensor.rs:SafeTensors.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "models/io/file_bytes.h"
#include "models/io/weights.h"

namespace gesso {

// True if the bytes begin as a safetensors file does, even if the rest of it is missing or wrong.
bool IsSafetensors(std::span<const std::byte> bytes);

// Throws kFormat where header and bytes break a rule of the format or the file is cut short, and
// kUnsupported for an element type or a rank that gesso has no tensors for; both name the tensor.
Weights ParseSafetensors(const FileBytes& file);

// Writes `path` aside, then renames. Throws kOutput.
void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, Tensor>& tensors,
                      const std::map<std::string, std::string>& metadata);

}  // namespace gesso
