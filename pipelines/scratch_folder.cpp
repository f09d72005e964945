#include "pipelines/scratch_folder.h"

#include <stdlib.h>

#include "kernels/core/error.h"

namespace gesso {

namespace fs = std::filesystem;

ScratchFolder::ScratchFolder(const std::string& purpose) {
  std::string name = (fs::temp_directory_path() / ("gesso-" + purpose + "-XXXXXX")).string();
  Require(mkdtemp(name.data()) != nullptr, ErrorKind::kOutput, "{}: cannot be made", name);
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace gesso
