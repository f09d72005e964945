// Which files of a folder are checkpoints.
#pragma once

#include <filesystem>
#include <vector>

namespace gesso {

// The checkpoints in `folder`, by name; an index stands for the shards beside it, and of the two
// formats that Hugging Face folders hold safetensors counts. Throws kIo for a folder that cannot be
// listed.
std::vector<std::filesystem::path> CheckpointsIn(const std::filesystem::path& folder);

// The one that there is; throws kFormat where there is none, or several.
std::filesystem::path OnlyCheckpoint(const std::filesystem::path& folder);

}  // namespace gesso
