// What the lint tests look at: files of the checkout, their text, and the output of tools that
// judge them. Every rule is a function of a folder or a text, so that tests can feed it bad ones.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace gesso::lint {

// The checkout under test.
std::filesystem::path SourceDir();

std::string ReadText(const std::filesystem::path& path);

// Lines of a text, without their line ends.
std::vector<std::string> Lines(std::string_view text);

// Paths, relative to root and sorted, of the files with one of these extensions (".h"). Build
// folders, checkpoints and everything hidden are left out.
std::vector<std::string> FilesWithExtension(const std::filesystem::path& root,
                                            const std::vector<std::string>& extensions);

// Files that belong to the project, relative to root: what git tracks or would add. Throws
// std::runtime_error where root is not a git checkout or git is absent.
std::vector<std::string> ProjectFiles(const std::filesystem::path& root);

struct CommandResult {
  int status;          // exit status; 127 if the shell did not find the program
  std::string output;  // stdout and stderr
};
CommandResult RunCommand(const std::string& command);

// Quoted for the shell.
std::string Quoted(const std::filesystem::path& path);

// The first of these programs that runs and whose --version output contains `version`; empty if
// none does.
std::string FindTool(const std::vector<std::string>& names, std::string_view version);

// An empty folder that lives as long as the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Writes a file below the folder and creates the folders on its way.
  std::filesystem::path Write(const std::string& relative, std::string_view text) const;

 private:
  std::filesystem::path path_;
};

}  // namespace gesso::lint
