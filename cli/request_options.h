// The options of a command that are fields of its requests.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "pipelines/request.h"

namespace gesso {

struct RequestOptions {
  Request defaults;  // from variables and the configuration file
  Request flags;
  bool reads_flags = false;  // which of the two an option sets; see UseSettings
};

// Adds an option for every field that `medium` has.
void AddRequestOptions(CLI::App& command, const std::shared_ptr<RequestOptions>& options,
                       Medium medium);

// The settings in the picture or clip `from`, with those of `over` in their place. Pictures that
// they name are looked for beside `from` too. Throws kIo, naming `from`, for one that is missing.
Request MergeOverSaved(const Request& saved, const Request& over,
                       const std::filesystem::path& from);

}  // namespace gesso
