// gesso generate: pictures from prompts.
#include "cli/commands.h"
#include "cli/picture_options.h"
#include "cli/settings.h"

namespace gesso {

void AddGenerate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<PictureOptions>();
  CLI::App* command = app.add_subcommand("generate", "Make pictures from prompts");
  command->add_option("prompt", options->prompts, "What the pictures show, one job each");
  command->add_option("--prompt-file", options->prompt_file,
                      "Jobs, one a line: a prompt, or JSON as --json and gesso metadata print it; "
                      "- for standard input");
  command->add_option("--from", options->from,
                      "Make the picture in this file again, from the settings inside it");
  PictureOptions::AddTo(*command, options);
  command->footer(
      "Examples:\n"
      "  gesso generate \"a red apple and a cat\" -o out.png\n"
      "  gesso generate \"two blue fish\" -b 16 --grid --seed 7 -o sheet.png\n"
      "  gesso generate \"a cat\" -i photo.jpg --strength 0.6 -o cat.jpg\n"
      "  gesso generate --prompt-file prompts.txt -o 'out/%03d.png'\n"
      "  gesso generate --from out.png --steps 50 -o finer.png");
  UseSettings(*command, [options] { options->request->reads_flags = true; });
  command->callback([options, &chosen] { chosen = [options] { return options->Run(); }; });
}

}  // namespace gesso
