#include "models/io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/core/error.h"

namespace gesso {

namespace {

// Whether `path` is still the file that is open: whoever had it locked before has removed it.
bool IsAt(const std::filesystem::path& path, int fd) {
  struct stat open_file {};
  struct stat there {};
  return fstat(fd, &open_file) == 0 && stat(path.c_str(), &there) == 0 &&
         open_file.st_dev == there.st_dev && open_file.st_ino == there.st_ino;
}

}  // namespace

std::unique_ptr<FileLock> FileLock::TryTake(const std::filesystem::path& path) {
  while (true) {
    const int fd = open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
    Require(fd >= 0, ErrorKind::kOutput, "{}: cannot be opened ({})", path.string(),
            std::strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      close(fd);
      return nullptr;
    }
    if (IsAt(path, fd)) return std::unique_ptr<FileLock>(new FileLock(path, fd));
    close(fd);
  }
}

FileLock::~FileLock() {
  unlink(path_.c_str());  // while it is held: nobody else's file is removed
  close(fd_);
}

}  // namespace gesso
