// A lock between processes, by a file: it is let go however the process that holds it ends, so that
// what a crash leaves behind is told from what is in use.
#pragma once

#include <filesystem>
#include <memory>

namespace gesso {

class FileLock {
 public:
  // Makes the file at `path` if there is none and takes the lock on it; nullptr if another process,
  // or another object of this one, has it. Throws kOutput where the file cannot be made or opened.
  // On a file system that knows no locks (flock) nobody is kept out.
  static std::unique_ptr<FileLock> TryTake(const std::filesystem::path& path);

  ~FileLock();  // lets go, and removes the file
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  FileLock(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::filesystem::path path_;
  int fd_;
};

}  // namespace gesso
