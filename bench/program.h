// What the programs that bench/*.py runs share: the options of the engine, messages, exit codes.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "kernels/core/error.h"
#include "kernels/core/parallel.h"
#include "kernels/isa.h"

namespace gesso::bench {

// Reads the options of `app`, and --isa and --threads, which it adds and heeds, then runs `body`.
// Returns the exit code.
inline int RunProgram(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
  std::string isa = "native";
  int threads = NumThreads();
  app.add_option("--isa", isa)->check(CLI::IsMember({"native", "avx2"}))->capture_default_str();
  app.add_option("--threads", threads)->capture_default_str();
  try {
    app.parse(argc, argv);
    LimitIsa(isa);
    SetNumThreads(threads);
    body();
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : ExitCode(ErrorKind::kUsage);
  } catch (const Error& error) {
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return ExitCode(error.kind());
  }
}

}  // namespace gesso::bench
