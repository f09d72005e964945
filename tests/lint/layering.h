// The arrows of #include that the design allows, checked on the text of one file at a time:
// cli, ui -> pipelines -> {models, samplers, cache} -> kernels -> kernels/core.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gesso::lint {

// Faults of one source file, one "path:line: what is wrong" each. `path` is relative to the
// project's root and decides which rules hold; bench and tests may include anything.
std::vector<std::string> LayeringFaults(std::string_view path, std::string_view text);

}  // namespace gesso::lint
