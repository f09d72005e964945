#include "pipelines/installed_models.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string_view>

#include "kernels/core/error.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// assets/models beside the program, or in one of the folders above it: a source tree, where the
// program lies in build/cli, or an unpacked archive.
void AddFoldersNearProgram(std::vector<fs::path>& folders) {
  std::error_code error;
  fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (int level = 0; level < 3 && !folder.empty(); ++level, folder = folder.parent_path()) {
    folders.push_back(folder / "assets" / "models");
  }
}

bool IsModelFile(const fs::path& path) {
  return path.extension() == ".safetensors" || path.extension() == ".pth" ||
         path.extension() == ".pt" || path.extension() == ".ckpt";
}

std::map<std::string, fs::path> FindAll() {
  std::map<std::string, fs::path> models;
  for (const fs::path& folder : ModelFolders()) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      if (fs::exists(entry.path() / "model_index.json", error)) {
        models.try_emplace(entry.path().filename().string(), entry.path());
      } else if (entry.is_regular_file(error) && IsModelFile(entry.path())) {
        models.try_emplace(entry.path().stem().string(), entry.path());
      }
    }
  }
  return models;
}

template <class Range, class Name>
std::string Join(const Range& range, const Name& name) {
  std::string list;
  for (const auto& item : range) list += (list.empty() ? "" : ", ") + name(item);
  return list.empty() ? "none" : list;
}

}  // namespace

std::vector<fs::path> ModelFolders() {
  std::vector<fs::path> folders;
  const std::string listed = Variable("GESSO_MODELS");
  for (size_t begin = 0; begin < listed.size();) {
    const size_t end = std::min(listed.find(':', begin), listed.size());
    if (end > begin) folders.emplace_back(listed.substr(begin, end - begin));
    begin = end + 1;
  }
  fs::path data_home = Variable("XDG_DATA_HOME");
  const fs::path home = Variable("HOME");
  if (data_home.empty() && !home.empty()) data_home = home / ".local/share";
  if (!data_home.empty()) folders.push_back(data_home / "gesso" / "models");
  AddFoldersNearProgram(folders);
  return folders;
}

std::vector<InstalledModel> InstalledModels() {
  std::vector<InstalledModel> models;
  for (const auto& [name, path] : FindAll()) models.push_back({name, path});
  return models;
}

fs::path FindModel(const std::string& name) {
  const auto installed = FindAll();
  if (const auto found = installed.find(name); found != installed.end()) return found->second;
  std::error_code error;
  const fs::path path(name);
  if (fs::exists(path, error)) return path;
  Require(name.find('/') == std::string::npos && !path.has_extension(), ErrorKind::kIo,
          "{}: no such model file or folder", name);
  Fail(ErrorKind::kIo, "there is no model '{}' (installed: {}; searched: {})", name,
       Join(installed, [](const auto& model) { return model.first; }),
       Join(ModelFolders(), [](const fs::path& folder) { return folder.string(); }));
}

}  // namespace gesso
