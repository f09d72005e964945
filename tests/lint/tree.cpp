#include "tests/lint/tree.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>

namespace fs = std::filesystem;

namespace gesso::lint {
namespace {

bool IsLeftOut(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.starts_with('.') || name.starts_with("build") || name == "checkpoints" ||
         name == "__pycache__";
}

}  // namespace

fs::path SourceDir() { return GESSO_SOURCE_DIR; }

std::string ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string> FilesWithExtension(const fs::path& root,
                                            const std::vector<std::string>& extensions) {
  std::vector<std::string> files;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::end(entry); ++entry) {
    if (entry->is_directory() && IsLeftOut(entry->path())) {
      entry.disable_recursion_pending();
    } else if (std::ranges::count(extensions, entry->path().extension().string()) > 0) {
      files.push_back(fs::relative(entry->path(), root).generic_string());
    }
  }
  std::ranges::sort(files);
  return files;
}

std::vector<std::string> ProjectFiles(const fs::path& root) {
  // safe.directory: a checkout that belongs to another user is fine to list.
  const CommandResult git = RunCommand("git -c safe.directory='*' -c core.quotePath=off -C " +
                                       Quoted(root) + " ls-files -co --exclude-standard");
  if (git.status != 0) throw std::runtime_error(git.output);
  std::vector<std::string> files = Lines(git.output);
  // Tracked files that the working tree no longer has.
  std::erase_if(files, [&](const std::string& file) { return !fs::exists(root / file); });
  return files;
}

CommandResult RunCommand(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen((command + " 2>&1").c_str(), "r"),
                                                   [](FILE*) { return 0; });
  if (pipe == nullptr) throw std::runtime_error("cannot start a shell");
  CommandResult result{0, ""};
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe.get())) {
    result.output.append(buffer, count);
  }
  const int status = pclose(pipe.get());
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return result;
}

std::string Quoted(const fs::path& path) {
  std::string quoted = "'";
  for (const char character : path.string()) {
    quoted += character == '\'' ? std::string("'\\''") : std::string(1, character);
  }
  return quoted + "'";
}

std::string FindTool(const std::vector<std::string>& names, std::string_view version) {
  for (const std::string& name : names) {
    const CommandResult result = RunCommand(name + " --version");
    if (result.status == 0 && result.output.find(version) != std::string::npos) return name;
  }
  return "";
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "gesso-lint-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;  // a destructor must not throw; the folder is in the system's /tmp
  fs::remove_all(path_, ignored);
}

fs::path TemporaryFolder::Write(const std::string& relative, std::string_view text) const {
  const fs::path path = path_ / relative;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

}  // namespace gesso::lint
