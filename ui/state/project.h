// Project files (.gesso): a zip of the layers and the mask as PNG files, and project.json with the
// rest. Any zip program can take the pictures out.
#pragma once

#include <filesystem>
#include <map>

#include "ui/state/document.h"

namespace gesso::ui {

constexpr int kProjectVersion = 1;

struct Project {
  Document document;
  Request request;  // as it stood in the panel
};

// Writes projects; layers that have not changed since the last time are not encoded again.
class ProjectWriter {
 public:
  // Aside, then renamed. Throws kOutput.
  void Write(const Project& project, const std::filesystem::path& path);

 private:
  struct Encoded {
    TiledImage pixels;  // that were encoded
    std::string png;
  };
  const std::string& Encode(uint64_t id, const TiledImage& pixels);

  std::map<uint64_t, Encoded> encoded_;  // by layer; 0 is the mask
};

// Throws kIo, kFormat for what is no project or a damaged one, kUnsupported for one of a newer
// version, naming file and entry.
Project ReadProject(const std::filesystem::path& path);

}  // namespace gesso::ui
