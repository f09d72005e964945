// Kinds of files are told by the ends of their names, in any case.
#pragma once

#include <filesystem>
#include <string>

namespace gesso {

// What `path` ends in, in lower case: ".png", or nothing.
std::string SuffixOf(const std::filesystem::path& path);

}  // namespace gesso
