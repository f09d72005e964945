// A file that appears whole or not at all: written aside as "<path>.<letters>.part", a name that
// nobody else has, and renamed at the end.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace gesso {

// Throws kOutput if `path` cannot become a new file: its folder is missing or not writable, it is
// itself a folder, or it exists, if only as a link to nothing, and `overwrite` is false. Pipes and
// devices (/dev/null) pass.
void CheckOutput(const std::filesystem::path& path, bool overwrite);

namespace internal {
struct Partial;  // what RemovePartialOutput knows of a file
}

class OutputFile {
 public:
  // Throws kOutput as CheckOutput does. Pipes and devices are opened and written directly.
  explicit OutputFile(std::filesystem::path path, bool overwrite = true);
  ~OutputFile();  // removes what was written, unless committed
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void Write(std::span<const std::byte> bytes);  // throws kOutput, e.g. on a full disk
  // Goes to byte `offset`, which what follows overwrites. Throws kOutput for a pipe.
  void Seek(int64_t offset);
  int64_t Size() const;  // bytes; throws kOutput
  bool IsSeekable() const;
  // Renames to `path`; throws kOutput, also where the file has come into being meanwhile and may
  // not be overwritten.
  void Commit();

 private:
  void RequireDone(bool condition) const;  // throws kOutput with the reason in errno

  std::filesystem::path path_;
  std::filesystem::path part_;  // empty for pipes and devices
  internal::Partial* partial_ = nullptr;
  bool overwrite_;
  int fd_ = -1;
};

// A folder's path without the slash that it may end in, for what is beside it.
std::filesystem::path WithoutSlash(const std::filesystem::path& folder);

// A new, empty folder beside `path`, for what becomes `path` by renaming: "<path>.<letters>.part".
// Throws kOutput.
std::filesystem::path MakePartFolder(const std::filesystem::path& path);

// All of `bytes` to `path`, or nothing.
void WriteFile(const std::filesystem::path& path, std::string_view bytes, bool overwrite);

// Writes to standard output, unbuffered; throws kOutput.
void WriteStdout(std::string_view bytes);

// Removes the .part files that are still being written: for the signal handler that ends the
// process at once.
void RemovePartialOutput() noexcept;

}  // namespace gesso
