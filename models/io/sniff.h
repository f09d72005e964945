// Says what a file is that is no checkpoint gesso can read: most often a download that went wrong.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace gesso {

// Ends the sentence "FILE is ...": "a Git-LFS pointer ...; run git lfs pull". Looks at content
// only.
std::string DescribeForeign(std::span<const std::byte> bytes);

}  // namespace gesso
