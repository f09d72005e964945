// Text out of a file, made fit for a message.
#pragma once

#include <string>
#include <string_view>

namespace gesso {

// `text` with control bytes replaced by '?' and anything after `limit` bytes by "...":
// names in a hostile file may hold terminal escapes or be megabytes long.
std::string Printable(std::string_view text, size_t limit = 120);

}  // namespace gesso
