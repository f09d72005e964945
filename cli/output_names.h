// Which file each picture goes to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace gesso {

class OutputNames {
 public:
  // `output` is what -o was given: a file; a file with a number such as %03d, counted from 0; a
  // folder; - for standard output; or nothing, for a fresh name in the current folder. A plain
  // file name gets the number put before its suffix where `count` files are expected. Throws
  // kUsage for a name that is none of these or a suffix other than .png.
  OutputNames(const std::string& output, int64_t count, bool overwrite);

  bool is_stdout() const { return kind_ == Kind::kStdout; }

  // The file of picture `index`, which was made with `seed`. Throws kOutput if it cannot be
  // written there: ask before the work starts.
  std::filesystem::path At(int64_t index, uint64_t seed) const;

 private:
  enum class Kind { kStdout, kFresh, kFile, kPattern };

  std::filesystem::path Fresh(uint64_t seed) const;

  Kind kind_ = Kind::kFile;
  bool overwrite_;
  std::filesystem::path folder_;  // kFresh
  std::string before_;            // kPattern: what stands before and after the number, its width
  std::string after_;             // kFile: the name
  size_t width_ = 0;
};

}  // namespace gesso
