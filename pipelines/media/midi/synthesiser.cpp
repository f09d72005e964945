#include "pipelines/media/midi/synthesiser.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "kernels/core/error.h"
#include "models/io/json.h"
#include "models/io/output_file.h"
#include "pipelines/media/suffix.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRemedy =
    "; on Debian and Ubuntu, apt install fluidsynth timgm6mb-soundfont";

fs::path SongFile(const ScratchFolder& folder) { return folder.path() / "song.mid"; }
fs::path LogFile(const ScratchFolder& folder) { return folder.path() / "log"; }

// Starts the program for the song in `folder`, whose log takes its complaints. No shell reads the
// arguments.
pid_t Start(const Synthesiser& synthesiser, const ScratchFolder& folder,
            const std::vector<std::string>& options) {
  // No MIDI input and no prompt: it ends with the song.
  std::vector<std::string> words = {synthesiser.program.string(), "-n", "-i", "-q"};
  words.insert(words.end(), options.begin(), options.end());
  words.push_back(synthesiser.soundfont.string());
  words.push_back(SongFile(folder).string());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string log = LogFile(folder).string();
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT, 0600);
  pid_t process = 0;
  const int error =
      posix_spawn(&process, words[0].c_str(), &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  Require(error == 0, ErrorKind::kDevice, "{}: does not start ({})", words[0],
          std::strerror(error));
  return process;
}

// The end of the process, or nothing while it lives and `waits` is false.
std::optional<int> EndOf(pid_t process, bool waits) {
  int status = 0;
  pid_t ended = 0;
  do {
    ended = waitpid(process, &status, waits ? 0 : WNOHANG);
  } while (ended < 0 && errno == EINTR);
  if (ended == 0) return std::nullopt;
  return status;
}

// Its last complaints.
std::string WordsOf(const ScratchFolder& folder) {
  constexpr size_t kMaxBytes = size_t{1} << 20;
  constexpr size_t kShown = 300;
  std::error_code error;
  const uintmax_t size = fs::file_size(LogFile(folder), error);
  if (error || size == 0 || size > kMaxBytes) return "it says nothing";
  std::string words = ReadFile(LogFile(folder), kMaxBytes);
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return words.size() > kShown ? "..." + words.substr(words.size() - kShown) : words;
}

std::optional<fs::path> FindProgram(const std::string& path) {
  std::istringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path program = fs::path(folder) / "fluidsynth";
    std::error_code error;
    if (!folder.empty() && fs::is_regular_file(program, error) &&
        access(program.c_str(), X_OK) == 0) {
      return program;
    }
  }
  return std::nullopt;
}

std::optional<fs::path> FindSoundfont(const std::vector<fs::path>& folders) {
  std::vector<fs::path> fonts;
  for (const fs::path& folder : folders) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const std::string suffix = SuffixOf(entry.path());
      // Also through links; one that leads nowhere is no file.
      const bool is_font = (suffix == ".sf2" || suffix == ".sf3") && entry.is_regular_file(error);
      if (is_font && entry.path().stem() == "default-GM") return entry.path();
      if (is_font) fonts.push_back(entry.path());
    }
  }
  if (fonts.empty()) return std::nullopt;
  return *std::ranges::min_element(fonts);
}

}  // namespace

SynthesiserSearch FindSynthesiser() {
  const char* path = std::getenv("PATH");
  return FindSynthesiser(path != nullptr ? path : "",
                         {"/usr/share/sounds/sf2", "/usr/share/sounds/sf3"});
}

SynthesiserSearch FindSynthesiser(const std::string& path, const std::vector<fs::path>& folders) {
  const std::optional<fs::path> program = FindProgram(path);
  if (!program) {
    return {std::nullopt,
            "songs sound by the program fluidsynth, which is not installed" + std::string(kRemedy)};
  }
  const std::optional<fs::path> font = FindSoundfont(folders);
  if (!font) {
    std::string searched;
    for (const fs::path& folder : folders) {
      searched += (searched.empty() ? "" : " and ") + folder.string();
    }
    return {std::nullopt, "fluidsynth needs a soundfont (.sf2, .sf3), and none lies in " +
                              searched + std::string(kRemedy)};
  }
  return {Synthesiser{*program, *font}, ""};
}

Synthesiser RequireSynthesiser() {
  const SynthesiserSearch search = FindSynthesiser();
  Require(search.found.has_value(), ErrorKind::kUnsupported, "{}", search.why_not);
  return *search.found;
}

void RenderSong(const Synthesiser& synthesiser, const MidiFile& song, const fs::path& path,
                bool overwrite) {
  CheckOutput(path, overwrite);
  const ScratchFolder folder("sound");
  WriteMidi(SongFile(folder), song, true);
  const fs::path made = folder.path() / "song.wav";
  const pid_t process = Start(synthesiser, folder, {"-F", made.string()});
  const int status = *EndOf(process, true);
  Require(WIFEXITED(status) && WEXITSTATUS(status) == 0 && fs::exists(made), ErrorKind::kOutput,
          "{}: fluidsynth has failed ({})", path.string(), WordsOf(folder));
  constexpr size_t kMaxBytes = size_t{4} << 30;  // of a WAV file
  WriteFile(path, ReadFile(made, kMaxBytes), overwrite);
}

SongPlayer::SongPlayer(const Synthesiser& synthesiser, const MidiFile& song) : folder_("sound") {
  WriteMidi(SongFile(folder_), song, true);
  process_ = Start(synthesiser, folder_, {});
}

SongPlayer::~SongPlayer() {
  if (process_ == 0) return;
  kill(process_, SIGTERM);
  EndOf(process_, true);
}

bool SongPlayer::IsPlaying() {
  if (process_ == 0) return false;
  const std::optional<int> status = EndOf(process_, false);
  if (!status) return true;
  process_ = 0;
  Require(WIFEXITED(*status) && WEXITSTATUS(*status) == 0, ErrorKind::kDevice,
          "the song does not sound: fluidsynth has failed ({})", WordsOf(folder_));
  return false;
}

}  // namespace gesso
