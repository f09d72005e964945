#include "ui/script.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "ui/commands.h"
#include "ui/platform/keys.h"

namespace gesso::ui {

namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;
constexpr double kMaxWaitSeconds = 600;

double NumberOf(const std::string& word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  Require(error == std::errc() && end == word.data() + word.size(), ErrorKind::kUsage,
          "'{}' is not a number", word);
  return value;
}

void RequireWords(const std::vector<std::string>& words, size_t low, size_t high) {
  Require(words.size() >= low && words.size() <= high, ErrorKind::kUsage,
          "takes {} to {} words, got {}", low, high, words.size());
}

// Commands with their numbers of words.
struct Form {
  std::string_view command;
  size_t low;
  size_t high;
};
constexpr size_t kAny = 100000;
constexpr Form kForms[] = {{"open", 1, kAny},
                           {"save", 1, kAny},
                           {"open-mask", 1, kAny},
                           {"save-mask", 1, kAny},
                           {"new", 2, 2},
                           {"set", 2, kAny},
                           {"brush", 1, 2},
                           {"action", 1, 1},
                           {"move", 1, 2},
                           {"down", 0, 0},
                           {"up", 0, 0},
                           {"wheel", 1, 1},
                           {"click", 1, 2},
                           {"drag", 4, kAny},
                           {"key", 1, 1},
                           {"type", 1, kAny},
                           {"frames", 1, 1},
                           {"wait", 0, 0},
                           {"expect-error", 1, kAny},
                           {"screenshot", 1, kAny},
                           {"frame-times", 1, kAny},
                           {"quit", 0, 0}};

}  // namespace

Script::Script(const std::filesystem::path& path) : path_(path) {
  std::istringstream text(ReadFile(path, kMaxBytes));
  int number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos || line[begin] == '#') continue;
    lines_.push_back(WithContext(fmt::format("{}, line {}", path.string(), number),
                                 [&] { return Parse(line.substr(begin), number); }));
  }
}

Script::Line Script::Parse(const std::string& text, int number) {
  Line line{number, "", {}, ""};
  std::istringstream words(text);
  words >> line.command;
  std::getline(words >> std::ws, line.rest);
  std::istringstream rest(line.rest);
  for (std::string word; rest >> word;) line.words.push_back(word);
  const auto form = std::ranges::find(kForms, line.command, &Form::command);
  Require(form != std::end(kForms), ErrorKind::kUsage, "there is no command '{}'", line.command);
  RequireWords(line.words, form->low, form->high);
  return line;
}

void Script::BeforeFrame(Ui& ui) {
  wheel_ = 0;
  keys_.clear();
  typed_.clear();
  if (!screenshot_.empty()) {
    WriteFile(std::exchange(screenshot_, ""), EncodePng(ui.platform.Screenshot(), {}), true);
  }
  if (pause_ > 0) {
    --pause_;
    return;
  }
  while (!lines_.empty()) {
    const Line line = lines_.front();
    if (waits_) {
      if (!Wait(ui, line)) return;
      continue;
    }
    lines_.pop_front();
    const bool takes_frame = WithContext(fmt::format("{}, line {}", path_.string(), line.number),
                                         [&] { return Run(ui, line); });
    if (takes_frame) return;
  }
}

bool Script::Run(Ui& ui, const Line& line) {
  if (line.command == "click" || line.command == "drag") {
    Expand(line);
    return false;
  }
  if (line.command == "wait" || line.command == "expect-error") {
    lines_.push_front(line);
    waits_ = true;
    wait_start_ = std::chrono::steady_clock::now();
    return true;
  }
  if (line.command == "frames") {
    pause_ = static_cast<int>(NumberOf(line.words[0]));
    return true;
  }
  return RunInput(ui, line) || RunFile(ui, line) || RunSetting(ui, line);
}

bool Script::RunInput(Ui& ui, const Line& line) {
  if (line.command == "move" && line.words.size() == 2) {
    mouse_ = ui.editor.view.ToScreen({NumberOf(line.words[0]), NumberOf(line.words[1])});
  } else if (line.command == "move") {
    const auto mark = ui.marks.find(line.words[0]);
    Require(mark != ui.marks.end(), ErrorKind::kUsage, "there is no widget '{}'", line.words[0]);
    mouse_ = mark->second;
  } else if (line.command == "down" || line.command == "up") {
    is_down_ = line.command == "down";
  } else if (line.command == "wheel") {
    wheel_ = static_cast<float>(NumberOf(line.words[0]));
  } else if (line.command == "key") {
    ParseShortcut(line.words[0]);
    keys_ = line.words[0];
  } else if (line.command == "type") {
    typed_ = line.rest;
  } else {
    return false;
  }
  return true;
}

bool Script::RunFile(Ui& ui, const Line& line) {
  if (line.command == "open") {
    ui.editor.Open(line.rest);
  } else if (line.command == "save") {
    ui.editor.Save(line.rest);
  } else if (line.command == "open-mask") {
    ui.editor.OpenMask(line.rest);
  } else if (line.command == "save-mask") {
    ui.editor.SaveMask(line.rest);
  } else if (line.command == "screenshot") {
    screenshot_ = line.rest;
  } else if (line.command == "frame-times") {
    WriteFrameTimes(line.rest);
  } else {
    return false;
  }
  return true;
}

bool Script::RunSetting(Ui& ui, const Line& line) {
  if (line.command == "set") {
    const size_t value = line.rest.find_first_not_of(' ', line.words[0].size());
    bool found = false;
    VisitFields(ui.editor.request,
                [&](const FieldInfo& info, const auto&) { found |= info.name == line.words[0]; });
    Require(found, ErrorKind::kUsage, "there is no field '{}'", line.words[0]);
    SetField(ui.editor.request, line.words[0], line.rest.substr(value), line.words[0]);
  } else if (line.command == "brush") {
    ui.editor.brush.size = NumberOf(line.words[0]);
    if (line.words.size() > 1) ui.editor.brush.hardness = NumberOf(line.words[1]);
  } else if (line.command == "new") {
    ui.editor.New(static_cast<int>(NumberOf(line.words[0])),
                  static_cast<int>(NumberOf(line.words[1])));
  } else if (line.command == "action") {
    RunCommand(ui, line.words[0]);
  } else {
    ui.wants_quit = true;
  }
  return true;
}

// A click or a stroke as movements and presses.
void Script::Expand(const Line& line) {
  std::vector<Line> parts;
  const auto add = [&](const std::string& command, std::vector<std::string> words) {
    parts.push_back({line.number, command, std::move(words), ""});
  };
  if (line.command == "click") {
    add("move", line.words);
  } else {
    Require(line.words.size() % 2 == 0, ErrorKind::kUsage, "drag takes pairs of numbers");
    add("move", {line.words[0], line.words[1]});
  }
  add("down", {});
  for (size_t i = 2; line.command == "drag" && i < line.words.size(); i += 2) {
    add("move", {line.words[i], line.words[i + 1]});
  }
  add("up", {});
  lines_.insert(lines_.begin(), parts.begin(), parts.end());
}

// Returns whether the wait is over.
bool Script::Wait(Ui& ui, const Line& line) {
  const std::string where = fmt::format("{}, line {}", path_.string(), line.number);
  const auto waited = std::chrono::steady_clock::now() - wait_start_;
  Require(std::chrono::duration<double>(waited).count() < kMaxWaitSeconds, ErrorKind::kInternal,
          "{}: still not done after {} s", where, kMaxWaitSeconds);
  if (ui.editor.is_busy()) return false;
  waits_ = false;
  lines_.pop_front();
  const std::string error =
      ui.editor.notice() && ui.editor.notice()->is_error ? ui.editor.notice()->text : "";
  if (line.command == "wait") {
    Require(error.empty(), ErrorKind::kInternal, "{}: {}", where, error);
  } else {
    Require(error.find(line.rest) != std::string::npos, ErrorKind::kInternal,
            "{}: expected an error with '{}', got '{}'", where, line.rest, error);
  }
  return true;
}

void Script::Inject() {
  ImGuiIO& io = ImGui::GetIO();
  io.MousePos = {static_cast<float>(mouse_.x), static_cast<float>(mouse_.y)};
  io.MouseDown[0] = is_down_;
  io.MouseWheel = wheel_;
  std::ranges::fill(io.KeysDown, false);
  const Shortcut shortcut = keys_.empty() ? Shortcut{} : ParseShortcut(keys_);
  if (!keys_.empty()) io.KeysDown[shortcut.key] = true;
  io.KeyCtrl = shortcut.ctrl;
  io.KeyShift = shortcut.shift;
  io.KeyAlt = shortcut.alt;
  if (!typed_.empty()) io.AddInputCharactersUTF8(typed_.c_str());
}

void Script::WriteFrameTimes(const std::filesystem::path& path) const {
  std::vector<double> sorted = frame_times_;
  std::ranges::sort(sorted);
  const auto quantile = [&](double share) {
    const auto last = static_cast<double>(sorted.size()) - 1;
    return sorted.empty() ? 0 : sorted[static_cast<size_t>(share * last)] * 1000;
  };
  const Json json = {{"frames", sorted.size()},
                     {"median_ms", quantile(0.5)},
                     {"p99_ms", quantile(0.99)},
                     {"max_ms", quantile(1)}};
  WriteFile(path, json.dump() + "\n", true);
}

}  // namespace gesso::ui
