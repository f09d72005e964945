// Project files (.gesso): a zip of the layers, the mask and the results so far as PNG files, the
// song if it is one (song.mid), and project.json with the rest. Any zip program can take the
// pictures out.
#pragma once

#include <filesystem>
#include <map>

#include "ui/state/document.h"
#include "ui/state/result_store.h"

namespace gesso::ui {

// 1 had no results and no songs.
constexpr int kProjectVersion = 2;

// How much of the strip of results a project holds: the newest.
constexpr size_t kMaxProjectResults = 32;
constexpr size_t kMaxProjectResultBytes = size_t{64} << 20;

struct Project {
  Document document;
  Request request;  // as it stood in the panel
  // That were made for the document, the newest first. Where `has_pictures` is false, a project is
  // written without their pictures: for a copy on the machine that has them.
  std::vector<StoredResult> results = {};
  bool has_pictures = true;
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
