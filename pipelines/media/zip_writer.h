// Zip files whose entries are stored as they are: for pictures, which are compressed already. What
// models/io/zip_archive.h reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/io/output_file.h"

namespace gesso {

class ZipWriter {
 public:
  // Keeps a reference to `file`.
  explicit ZipWriter(OutputFile& file) : file_(file) {}

  // `name` with / between folders, ASCII, each once. Throws kUnsupported beyond 4 GiB, kOutput.
  void Add(const std::string& name, std::string_view bytes);
  // Writes the directory; the file is left to be committed.
  void Finish();

 private:
  void Write(std::string_view bytes);

  OutputFile& file_;
  uint64_t size_ = 0;
  uint16_t count_ = 0;
  std::string directory_;
};

}  // namespace gesso
