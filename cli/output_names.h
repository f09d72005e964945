// Which file each picture goes to, and of what kind it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pipelines/media/picture_format.h"

namespace gesso {

// The kind of picture that `option path` is named for; PNG for pipes and devices, whose names may
// say nothing. Throws kUsage, naming the option, for a name that ends otherwise.
const PictureFormat& FormatNamed(const std::string& option, const std::filesystem::path& path);

class OutputNames {
 public:
  // `output` is what -o was given: a file; a file with a number such as %03d, counted from 0; a
  // folder; - for standard output; or nothing, for a fresh name in the current folder. A plain
  // file name gets the number put before its suffix where `count` files are expected. Throws
  // kUsage for a name that is none of these and as FormatNamed.
  OutputNames(const std::string& output, int64_t count, bool overwrite);

  bool is_stdout() const { return kind_ == Kind::kStdout; }
  // PNG where the name does not tell: in folders, on standard output.
  const PictureFormat& format() const { return *format_; }

  // The file of picture `index`, which was made with `seed`. Throws kOutput if it cannot be
  // written there: ask before the work starts.
  std::filesystem::path At(int64_t index, uint64_t seed) const;

  // Makes the folder of many pictures (a folder or a name with a number was given) where there is
  // none; its own folder has to exist. Throws kOutput. Call when the first picture is there.
  void MakeFolder() const;

 private:
  enum class Kind { kStdout, kFresh, kFile, kPattern };

  std::filesystem::path Fresh(uint64_t seed) const;
  void Check(const std::filesystem::path& path, bool overwrite) const;

  Kind kind_ = Kind::kFile;
  const PictureFormat* format_ = &PictureFormats().front();
  bool overwrite_;
  std::filesystem::path folder_;      // kFresh
  std::filesystem::path new_folder_;  // to be made; or empty
  std::string before_;  // kPattern: what stands before and after the number, its width
  std::string after_;   // kFile: the name
  size_t width_ = 0;
};

}  // namespace gesso
