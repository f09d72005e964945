#include "models/io/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/core/error.h"

namespace gesso {

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)), part_(path_) {
  part_ += ".part";
  fd_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  Require(fd_ >= 0, ErrorKind::kOutput, "{}: cannot be written ({})", path_.string(),
          std::strerror(errno));
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(part_.c_str());
}

void OutputFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    Require(written >= 0, ErrorKind::kOutput, "{}: cannot be written ({})", path_.string(),
            std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void OutputFile::Commit() {
  CHECK(fd_ >= 0);
  Require(fsync(fd_) == 0, ErrorKind::kOutput, "{}: cannot be written ({})", path_.string(),
          std::strerror(errno));
  Require(rename(part_.c_str(), path_.c_str()) == 0, ErrorKind::kOutput,
          "{}: cannot be renamed to its name ({})", part_.string(), std::strerror(errno));
  close(fd_);
  fd_ = -1;
}

}  // namespace gesso
