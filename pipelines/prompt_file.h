// Files of jobs: a line is a prompt, or a JSON object with the fields of a request.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/request.h"

namespace gesso {

// One request a line that is not blank; a line that begins with '{' is JSON. Throws kUsage naming
// the line, kIo. "-" reads standard input.
std::vector<Request> ReadPromptFile(const std::string& path);
std::vector<Request> ParsePrompts(std::string_view text, const std::string& name);

}  // namespace gesso
