// A folder for files that something else names by path; it goes away with the object.
#pragma once

#include <filesystem>
#include <string>

namespace gesso {

class ScratchFolder {
 public:
  // New and empty, where temporary files go: "gesso-<purpose>-XXXXXX". Throws kOutput.
  explicit ScratchFolder(const std::string& purpose);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace gesso
