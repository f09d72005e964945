// A file that appears whole or not at all: written aside as "<path>.part", renamed at the end.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace gesso {

class OutputFile {
 public:
  // Throws kOutput if the folder is absent or not writable.
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();  // removes what was written, unless committed
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void Write(std::span<const std::byte> bytes);  // throws kOutput, e.g. on a full disk
  void Commit();                                 // renames to `path`; throws kOutput

 private:
  std::filesystem::path path_;
  std::filesystem::path part_;
  int fd_ = -1;
};

}  // namespace gesso
