// The program `gesso`: parses the command line, runs one command, and turns every error into a
// message on stderr and an exit code.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/terminal.h"
#include "kernels/core/error.h"
#include "models/io/output_file.h"

namespace gesso {

namespace {

void SetUpLog() {
  const auto mode = StderrTakesColour() ? spdlog::color_mode::always : spdlog::color_mode::never;
  auto log = spdlog::stderr_color_st("gesso", mode);
  log->set_pattern("gesso: %^%l%$: %v");
  spdlog::set_default_logger(std::move(log));
}

int ParseAndRun(int argc, char** argv) {
  CLI::App app("Makes pictures and clips from text.\n", "gesso");
  app.set_version_flag("--version", "gesso " GESSO_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(
      "Exit codes: 0 done, 2 usage, 3 bad or unsupported input or model file, 4 out of\n"
      "memory, 5 device, 6 output not written, 130 interrupted, 1 anything else.\n"
      "Options may also come from GESSO_<OPTION> variables (GESSO_STEPS=30) and from\n"
      "$XDG_CONFIG_HOME/gesso/config.json ({\"steps\": 30}); flags win over both.");
  Command command;
  AddGenerate(app, command);
  AddInpaint(app, command);
  AddGui(app, command);
  AddVideo(app, command);
  AddVerify(app, command);
  AddMetadata(app, command);
  AddModels(app, command);
  AddInfo(app, command);
  AddBench(app, command);
  AddConvert(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    std::ostringstream text;
    const int code = app.exit(help, text, text);
    WriteStdout(text.str());
    return code;
  } catch (const CLI::ParseError& error) {
    const std::vector<CLI::App*> reached = app.get_subcommands();
    Require(!reached.empty() || argc < 2, ErrorKind::kUsage,
            "'{}' is neither a command nor an option (see gesso --help)", argc < 2 ? "" : argv[1]);
    Fail(ErrorKind::kUsage, "{} (see gesso {}--help)", error.what(),
         reached.empty() ? "" : reached.front()->get_name() + " ");
  }
  return command();
}

int Main(int argc, char** argv) {
  KeepStandardStreams();
  SetUpLog();
  // A closed pipe and a file beyond the limit of its size are output errors like any other.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return ParseAndRun(argc, argv);
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
    return ExitCode(error.kind());
  } catch (const std::bad_alloc&) {
    spdlog::error("out of memory");
    return ExitCode(ErrorKind::kMemory);
  } catch (const std::exception& error) {
    spdlog::error("{} (this is a bug in gesso)", error.what());
    return ExitCode(ErrorKind::kInternal);
  }
}

}  // namespace

}  // namespace gesso

int main(int argc, char** argv) { return gesso::Main(argc, argv); }
