// A session from a file: mouse, keyboard and commands, as if a person had sat there. Tests of the
// window are written in it, and anything that shall be repeated.
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <string>

#include "ui/panels/panels.h"

namespace gesso::ui {

// One command a line; # begins a comment. Places are pixels of the picture, or names of widgets.
//
//   open PATH, save PATH, open-mask PATH, save-mask PATH
//   new WIDTH HEIGHT         a white canvas
//   set FIELD VALUE          of the request
//   brush SIZE [HARDNESS]    hardness 0 .. 1
//   action NAME              of ui/commands.cpp
//   move X Y, move NAME      the mouse
//   down, up, wheel STEPS
//   click NAME, click X Y    move, down, up
//   drag X Y X Y ...         a stroke
//   key KEYS                 "Ctrl+Z"
//   type TEXT                into the widget that has the keyboard
//   frames N                 lets time pass
//   wait                     until all jobs and files are done; an error ends the script
//   expect-error TEXT        waits, and wants an error with this text
//   screenshot PATH.png
//   frame-times PATH         processor time of the frames so far, as JSON
//   quit
class Script {
 public:
  // Throws kIo for a file that cannot be read, kUsage for a line that is no command.
  explicit Script(const std::filesystem::path& path);

  // Takes the lines of one frame. Throws what a command throws, naming the line; kInternal if a
  // wait takes ten minutes.
  void BeforeFrame(Ui& ui);
  // Puts the script's mouse and keys into ImGui, after the window has put in its own.
  void Inject();
  bool is_over() const { return lines_.empty() && !waits_ && keys_.empty() && screenshot_.empty(); }
  void AddFrameTime(double seconds) { frame_times_.push_back(seconds); }

 private:
  struct Line {
    int number;
    std::string command;
    std::vector<std::string> words;
    std::string rest;  // of the line, behind the command
  };

  static Line Parse(const std::string& text, int number);
  // Returns whether the frame belongs to it.
  bool Run(Ui& ui, const Line& line);
  bool RunInput(Ui& ui, const Line& line);
  bool RunFile(Ui& ui, const Line& line);
  bool RunSetting(Ui& ui, const Line& line);
  void Expand(const Line& line);
  bool Wait(Ui& ui, const Line& line);
  void WriteFrameTimes(const std::filesystem::path& path) const;

  std::filesystem::path path_;
  std::deque<Line> lines_;
  bool waits_ = false;
  std::chrono::steady_clock::time_point wait_start_;
  int pause_ = 0;  // frames
  Point mouse_ = {-1, -1};
  bool is_down_ = false;
  float wheel_ = 0;
  std::string keys_;  // held for this frame
  std::string typed_;
  std::string screenshot_;
  std::vector<double> frame_times_;
};

}  // namespace gesso::ui
