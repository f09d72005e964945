// What the terminal behind stderr is good for, and the progress bar drawn there.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gesso {

bool StderrIsTerminal();
// True on a terminal unless the variable NO_COLOR is set (no-color.org) or TERM is dumb.
bool StderrTakesColour();

// A line that is redrawn in place: "[#####.....]  10/20  12.3 step/s  0:01 left  picture 2 of 4".
// Draws nothing unless stderr is a terminal.
class ProgressBar {
 public:
  ProgressBar() : is_on_(StderrIsTerminal()), start_(Clock::now()) {}
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `share` 0..1 of the work is done; at most 20 drawings a second.
  void Show(double share, const std::string& label);
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  bool is_on_;
  bool is_drawn_ = false;
  Clock::time_point start_;
  Clock::time_point drawn_{};
};

}  // namespace gesso
