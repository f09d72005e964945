// Where models lie on this machine, and the names they go by.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gesso {

// The model that is used where none is named.
constexpr std::string_view kDefaultModel = "demo-hdit";
constexpr std::string_view kMusicModel = "demo-music";  // for songs

struct InstalledModel {
  std::string name;  // of its folder, or of its file without the suffix
  std::filesystem::path path;
};

// The folders that hold models, in the order in which they are searched: those of the variable
// GESSO_MODELS (separated by colons), $XDG_DATA_HOME/gesso/models (~/.local/share/gesso/models),
// assets/models beside the program or above it.
std::vector<std::filesystem::path> ModelFolders();

// Every model in those folders, by name; of two with the same name, the one found first.
std::vector<InstalledModel> InstalledModels();

// The path that `name` stands for: an installed model, or a path itself (something with a slash,
// a suffix, or a folder that exists). Throws kIo, saying where was searched and what there is.
std::filesystem::path FindModel(const std::string& name);

}  // namespace gesso
