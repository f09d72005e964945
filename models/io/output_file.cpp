#include "models/io/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>

#include "kernels/core/error.h"
#include "models/io/waiting.h"

namespace gesso {

namespace internal {

// The name is filled in before `exists` is raised and left alone while it is up.
struct Partial {
  std::array<char, PATH_MAX> name;
  std::atomic<bool> taken{false};
  std::atomic<bool> exists{false};
};
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace internal

namespace {

namespace fs = std::filesystem;

using internal::Partial;

std::array<Partial, 4> partials;  // a clip is being written while windows of it are

// A place for one more; nullptr if all are taken, and then a signal leaves the file.
Partial* TakePartial() {
  for (Partial& partial : partials) {
    if (!partial.taken.exchange(true)) return &partial;
  }
  return nullptr;
}

void Release(Partial* partial) {
  if (partial == nullptr) return;
  partial->exists = false;
  partial->taken = false;
}

[[noreturn]] void FailToWrite(const fs::path& path, std::string_view reason) {
  Fail(ErrorKind::kOutput, "{}: cannot be written ({})", path.string(), reason);
}

constexpr std::string_view kExists = "exists; --overwrite replaces it";

// Beside `path`, and another one each time.
fs::path PartOf(const fs::path& path) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  std::random_device random;
  std::string ending = ".";
  for (int i = 0; i < 8; ++i) ending += kLetters[random() % kLetters.size()];
  ending += ".part";
  return path.parent_path() /
         (path.filename().string().substr(0, NAME_MAX - ending.size()) + ending);
}

// False, with the reason in errno, if not everything could be written.
bool WriteAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

void CheckOutput(const fs::path& path, bool overwrite) {
  std::error_code error;
  // A pipe, socket or device: something that cannot be replaced by renaming.
  if (fs::is_other(path, error)) return;
  if (fs::is_directory(path, error)) FailToWrite(path, "is a folder");
  if (fs::exists(fs::symlink_status(path, error)) && !overwrite) FailToWrite(path, kExists);
  if (error == std::errc::filename_too_long) FailToWrite(path, "its name is too long");
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    FailToWrite(path, folder.string() + ": " + std::strerror(errno));
  }
  if (!fs::is_directory(folder, error)) FailToWrite(path, folder.string() + " is not a folder");
}

OutputFile::OutputFile(fs::path path, bool overwrite)
    : path_(std::move(path)), overwrite_(overwrite) {
  CheckOutput(path_, overwrite_);
  if (std::error_code error; fs::is_other(path_, error)) {
    const Waiting waiting;  // for a reader of the pipe
    fd_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    RequireDone(fd_ >= 0);
    return;
  }
  partial_ = TakePartial();
  do {
    part_ = PartOf(path_);
    if (part_.native().size() >= PATH_MAX) {
      Release(partial_);
      FailToWrite(path_, "its name is too long");
    }
    if (partial_ != nullptr) {
      partial_->exists = false;
      std::memcpy(partial_->name.data(), part_.c_str(), part_.native().size() + 1);
      partial_->exists = true;
    }
    fd_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) {
    const int reason = errno;
    Release(partial_);
    errno = reason;
  }
  RequireDone(fd_ >= 0);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  close(fd_);
  if (!part_.empty()) unlink(part_.c_str());
  Release(partial_);
}

void OutputFile::RequireDone(bool condition) const {
  if (!condition) FailToWrite(path_, std::strerror(errno));
}

void OutputFile::Write(std::span<const std::byte> bytes) {
  std::optional<Waiting> waiting;
  if (part_.empty()) waiting.emplace();
  RequireDone(WriteAll(fd_, bytes));
}

void OutputFile::Seek(int64_t offset) { RequireDone(lseek(fd_, offset, SEEK_SET) == offset); }

int64_t OutputFile::Size() const {
  struct stat status {};
  RequireDone(fstat(fd_, &status) == 0);
  return status.st_size;
}

bool OutputFile::IsSeekable() const { return !part_.empty(); }

void OutputFile::Commit() {
  CHECK(fd_ >= 0);
  if (!part_.empty()) {
    RequireDone(fsync(fd_) == 0);
    const unsigned flags = overwrite_ ? 0 : RENAME_NOREPLACE;
    bool renamed = renameat2(AT_FDCWD, part_.c_str(), AT_FDCWD, path_.c_str(), flags) == 0;
    // Not every file system knows the flag; CheckOutput has looked already.
    if (!renamed && flags != 0 && (errno == EINVAL || errno == ENOSYS)) {
      renamed = rename(part_.c_str(), path_.c_str()) == 0;
    }
    if (!renamed && errno == EEXIST) FailToWrite(path_, kExists);
    RequireDone(renamed);
    Release(partial_);
    partial_ = nullptr;
  }
  close(fd_);
  fd_ = -1;
}

fs::path WithoutSlash(const fs::path& folder) {
  return folder.has_filename() ? folder : folder.parent_path();
}

fs::path MakePartFolder(const fs::path& path) {
  fs::path part = PartOf(path);
  while (mkdir(part.c_str(), 0777) != 0) {
    if (errno != EEXIST) FailToWrite(path, std::strerror(errno));
    part = PartOf(path);
  }
  return part;
}

void WriteFile(const fs::path& path, std::string_view bytes, bool overwrite) {
  OutputFile file(path, overwrite);
  file.Write(std::as_bytes(std::span(bytes)));
  file.Commit();
}

void WriteStdout(std::string_view bytes) {
  const Waiting waiting;
  if (!WriteAll(STDOUT_FILENO, std::as_bytes(std::span(bytes)))) {
    FailToWrite("standard output", std::strerror(errno));
  }
}

void RemovePartialOutput() noexcept {
  for (Partial& partial : partials) {
    if (partial.exists) unlink(partial.name.data());
  }
}

}  // namespace gesso
