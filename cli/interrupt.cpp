#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string_view>

#include "kernels/core/error.h"
#include "models/io/output_file.h"
#include "models/io/waiting.h"

namespace gesso {

namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

// Only what is safe inside a signal handler.
void OnInterrupt(int signal) {
  const int reason = errno;
  // A closed terminal hangs up twice, through the shell and by itself.
  const bool again = interrupted.exchange(true) && signal != SIGHUP;
  if (again || Waiting::IsAny()) {
    RemovePartialOutput();
    _exit(130);
  }
  constexpr std::string_view kMessage =
      "\ngesso: finishing this step; interrupt again to stop at once\n";
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, kMessage.data(), kMessage.size());
  errno = reason;
}

}  // namespace

void CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;
  CHECK(sigaction(SIGINT, &action, nullptr) == 0);
  CHECK(sigaction(SIGTERM, &action, nullptr) == 0);
  struct sigaction hangup {};
  CHECK(sigaction(SIGHUP, nullptr, &hangup) == 0);
  // Under nohup the work outlives its terminal.
  if (hangup.sa_handler != SIG_IGN) CHECK(sigaction(SIGHUP, &action, nullptr) == 0);
}

bool Interrupted() { return interrupted; }

}  // namespace gesso
