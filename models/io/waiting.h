// Where the process waits for others, maybe for ever: for a line typed at a terminal, for whoever
// is to open the other end of a pipe. No flag is looked at there, so a signal has to end it at
// once.
#pragma once

namespace gesso {

class Waiting {
 public:
  Waiting() noexcept;
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  // Whether some thread has an object of this class; for signal handlers.
  static bool IsAny() noexcept;
};

}  // namespace gesso
