#include "cli/output_names.h"

#include <fmt/format.h>

#include "kernels/core/error.h"
#include "models/io/output_file.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

struct Number {
  size_t begin = 0;  // of "%03d" in the text
  size_t end = 0;
  size_t width = 0;
};

// The place of the one number in `text`; end = 0 if there is none.
Number FindNumber(const std::string& text) {
  Number number;
  for (size_t at = text.find('%'); at != std::string::npos; at = text.find('%', at + 1)) {
    const size_t letter = text.find_first_not_of("0123456789", at + 1);
    const bool valid = letter != std::string::npos && text[letter] == 'd' && letter - at <= 3;
    Require(valid && number.end == 0, ErrorKind::kUsage,
            "-o {}: the number of the picture is written once, as %d or %03d", text);
    number = {at, letter + 1, 0};
    if (letter > at + 1) number.width = std::stoul(text.substr(at + 1, letter - at - 1));
  }
  return number;
}

}  // namespace

const PictureFormat& FormatNamed(const std::string& option, const fs::path& path) {
  const PictureFormat* format = FindPictureFormat(path);
  std::error_code error;
  Require(format != nullptr || fs::is_other(path, error), ErrorKind::kUsage,
          "{} {}: the name of a picture ends in {}", option, path.string(), PictureSuffixes());
  return format != nullptr ? *format : PictureFormats().front();
}

OutputNames::OutputNames(const std::string& output, int64_t count, bool overwrite)
    : overwrite_(overwrite) {
  std::error_code error;
  if (output == "-") {
    Require(count == 1, ErrorKind::kUsage,
            "-o -: standard output takes one picture, not {} (--grid puts them on one sheet)",
            count);
    kind_ = Kind::kStdout;
    return;
  }
  if (output.empty() || output.ends_with('/') || fs::is_directory(output, error)) {
    kind_ = Kind::kFresh;
    folder_ = output;
    if (!output.empty() && !fs::exists(output, error)) new_folder_ = folder_.parent_path();
    return;
  }
  const fs::path path(output);
  format_ = &FormatNamed("-o", path);
  if (const Number number = FindNumber(output); number.end > 0) {
    kind_ = Kind::kPattern;
    before_ = output.substr(0, number.begin);
    after_ = output.substr(number.end);
    width_ = number.width;
    const fs::path folder = path.parent_path();
    const bool is_one = folder.string().find('%') == std::string::npos;
    if (is_one && !folder.empty() && !fs::exists(folder, error)) new_folder_ = folder;
  } else if (count > 1 && !fs::is_other(path, error)) {
    kind_ = Kind::kPattern;
    before_ = (path.parent_path() / path.stem()).string() + "-";
    after_ = path.extension().string();
    width_ = 3;
  } else {
    after_ = output;
  }
}

fs::path OutputNames::At(int64_t index, uint64_t seed) const {
  if (kind_ == Kind::kStdout) return "-";
  if (kind_ == Kind::kFresh) return Fresh(seed);
  fs::path path = after_;
  if (kind_ == Kind::kPattern) path = fmt::format("{}{:0{}}{}", before_, index, width_, after_);
  Check(path, overwrite_);
  return path;
}

fs::path OutputNames::Fresh(uint64_t seed) const {
  fs::path path = folder_ / fmt::format("gesso-{}.png", seed);
  std::error_code error;
  for (int copy = 2; fs::exists(path, error); ++copy) {
    path = folder_ / fmt::format("gesso-{}-{}.png", seed, copy);
  }
  Check(path, false);
  return path;
}

void OutputNames::Check(const fs::path& path, bool overwrite) const {
  std::error_code error;
  const bool is_missing = !new_folder_.empty() && !fs::exists(new_folder_, error);
  if (is_missing) {
    CheckOutput(new_folder_, false);
  } else {
    CheckOutput(path, overwrite);
  }
}

void OutputNames::MakeFolder() const {
  if (new_folder_.empty()) return;
  std::error_code error;
  fs::create_directory(new_folder_, error);
  Require(!error, ErrorKind::kOutput, "{}: cannot be made ({})", new_folder_.string(),
          error.message());
}

}  // namespace gesso
