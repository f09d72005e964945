// gesso metadata: prints the settings that a picture or clip was made with.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "models/io/output_file.h"
#include "models/io/printable.h"
#include "pipelines/media/metadata.h"

namespace gesso {

namespace {

struct Options {
  std::vector<std::string> pictures;
  bool json = false;
};

// Line by line, so that the lines of a prompt stay what they are.
std::string PrintableLines(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    result += Printable(line, line.size()) + "\n";
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return result;
}

void Print(const std::string& picture, bool json) {
  for (const Request& request : ReadMetadata(picture)) {
    if (json) {
      PrintJson(ToJson(request));
    } else {
      WriteStdout(PrintableLines(ParametersText(request)));
    }
  }
}

int Run(const Options& options) {
  int exit_code = 0;
  for (const std::string& picture : options.pictures) {
    try {
      Print(picture, options.json);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kOutput) throw;
      spdlog::error("{}", error.what());  // and on to the next file
      if (exit_code == 0) exit_code = ExitCode(error.kind());
    }
  }
  return exit_code;
}

}  // namespace

void AddMetadata(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("metadata", "Print the settings a picture or clip was made with");
  command->add_option("picture", options->pictures, "Pictures and clips")->required();
  command->add_flag("--json", options->json, "One JSON object a line, as --prompt-file takes them");
  command->footer(
      "Examples:\n"
      "  gesso metadata out.png\n"
      "  gesso metadata --json out.png | gesso generate --prompt-file -");
  UseSettings(*command);
  command->callback([options, &chosen] { chosen = [options] { return Run(*options); }; });
}

}  // namespace gesso
