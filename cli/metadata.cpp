// gesso metadata: prints the settings that a picture or clip was made with.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/settings.h"
#include "models/io/output_file.h"
#include "pipelines/media/metadata.h"

namespace gesso {

namespace {

struct Options {
  std::vector<std::string> pictures;
  bool json = false;
};

int Run(const Options& options) {
  for (const std::string& picture : options.pictures) {
    for (const Request& request : ReadMetadata(picture)) {
      WriteStdout((options.json ? ToJson(request).dump() : ParametersText(request)) + "\n");
    }
  }
  return 0;
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
