#include "cli/print.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "models/io/output_file.h"

namespace gesso {

void PrintJson(const Json& result) {
  WriteStdout(result.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void PrintNews(std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void KeepStandardStreams() noexcept {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) == -1) {
      open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // takes the lowest number
    }
  }
}

}  // namespace gesso
