// What tells files from others of the same names, at little cost: sizes and hashes.
#pragma once

#include <filesystem>

#include "models/io/json.h"

namespace gesso {

// A JSON object of "SIZE bytes, HASH" by name: of a file under its own, of a folder's files under
// their paths in it, but for documentation (.md). The hash is FNV-1a (Fowler, Noll, Vo 1991) of 64
// bits, over all of a file of up to 32 MiB; of a larger one over its beginning, where safetensors
// have names and shapes, and over slices of the rest as far from each other. Throws kIo.
Json FingerprintOf(const std::filesystem::path& path);

}  // namespace gesso
