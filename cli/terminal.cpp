#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "cli/print.h"

namespace gesso {

namespace {

constexpr int kBarWidth = 24;
constexpr const char* kClearLine = "\r\x1b[K";
constexpr std::chrono::milliseconds kRedraw{50};

std::string MinutesAndSeconds(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(std::min(seconds, 359999.0)));
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

// Columns in which a line does not wrap; many where the terminal does not say.
size_t LineWidth() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 1000;
  return size.ws_col - size_t{1};
}

}  // namespace

bool StderrIsTerminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (term == nullptr || std::string_view(term) != "dumb");
}

bool StderrTakesColour() {
  const char* no_color = std::getenv("NO_COLOR");
  return StderrIsTerminal() && (no_color == nullptr || *no_color == '\0');
}

void ProgressBar::Show(double share, const std::string& label) {
  const Clock::time_point now = Clock::now();
  if (!is_on_ || (is_drawn_ && now - drawn_ < kRedraw)) return;
  const int filled = static_cast<int>(std::clamp(share, 0.0, 1.0) * kBarWidth);
  std::string left;
  if (share > 0) {
    const double spent = std::chrono::duration<double>(now - start_).count();
    left = "  " + MinutesAndSeconds(spent * (1 - share) / share) + " left";
  }
  const std::string bar(static_cast<size_t>(filled), '#');
  const std::string line = fmt::format("[{:.<{}}]{}  {}", bar, kBarWidth, left, label);
  PrintNews(kClearLine + line.substr(0, LineWidth()));
  is_drawn_ = true;
  drawn_ = now;
}

void ProgressBar::Clear() {
  if (!is_drawn_) return;
  PrintNews(kClearLine);
  is_drawn_ = false;
}

}  // namespace gesso
