// What commands say: results as lines of JSON on stdout, news of the work on stderr.
#pragma once

#include <string_view>

#include "models/io/json.h"

namespace gesso {

// `result` on a line of its own; of names that are not UTF-8 the bytes that are none are replaced
// by U+FFFD. Throws kOutput.
void PrintJson(const Json& result);

// Where stderr is closed or full, `text` is lost and the work goes on.
void PrintNews(std::string_view text) noexcept;

// Puts /dev/null where stdin, stdout or stderr is closed, so that no file that is opened later
// becomes one of them; what is written to them fails as before.
void KeepStandardStreams() noexcept;

}  // namespace gesso
