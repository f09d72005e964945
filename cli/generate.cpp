// gesso generate: pictures from prompts.
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/picture_writer.h"
#include "cli/request_options.h"
#include "cli/settings.h"
#include "pipelines/generator.h"
#include "pipelines/media/metadata.h"
#include "pipelines/prompt_file.h"

namespace gesso {

namespace {

struct Options {
  std::vector<std::string> prompts;
  std::string prompt_file;
  std::string from;
  std::shared_ptr<RequestOptions> request = std::make_shared<RequestOptions>();
  WriterOptions writer;
  EngineOptions engine;
};

// The jobs asked for, in order; fields that nobody has set are open.
std::vector<Request> JobsOf(const Options& options) {
  std::vector<Request> prompts;
  for (const std::string& prompt : options.prompts) {
    SetField(prompts.emplace_back(), "prompt", prompt, "prompt");
  }
  if (!options.prompt_file.empty()) {
    for (Request& request : ReadPromptFile(options.prompt_file)) {
      prompts.push_back(std::move(request));
    }
  }
  if (prompts.empty()) prompts.emplace_back();
  // A picture's own settings are complete: what is set elsewhere for every run stays out of it.
  std::vector<Request> bases = {options.request->defaults};
  if (!options.from.empty()) bases = ReadMetadata(options.from);
  std::vector<Request> jobs;
  for (const Request& base : bases) {
    for (const Request& prompt : prompts) {
      jobs.push_back(Merge(Merge(base, options.request->flags), prompt));
    }
  }
  return jobs;
}

int Run(const Options& options) {
  CatchInterrupts();
  options.engine.Apply();
  Generator generator(options.engine.Device());
  std::vector<Request> jobs = JobsOf(options);
  for (Request& job : jobs) job = generator.Resolve(job);
  PictureWriter writer(options.writer, jobs);
  try {
    for (const Request& job : jobs) generator.Run(job, writer);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) writer.Finish();
    throw;
  }
  writer.Finish();
  return 0;
}

void AddWriterOptions(CLI::App& command, WriterOptions& writer) {
  command.add_option("-o,--output", writer.output,
                     "File, name with a number (%03d, from 0), folder, or - for standard output; "
                     "a fresh gesso-SEED.png if absent");
  command.add_flag("--overwrite", writer.overwrite, "Replace files that exist");
  command.add_flag("--grid", writer.grid, "Put all pictures on one sheet");
  command.add_flag("--json", writer.json, "Print a JSON object a file instead of its path");
  command.add_option("--preview", writer.preview,
                     "File that shows the pictures being made, written anew every few steps");
  command.add_option("--preview-every", writer.preview_every, "Steps from preview to preview")
      ->check(CLI::Range(int64_t{1}, int64_t{10000}))
      ->capture_default_str();
}

}  // namespace

void AddGenerate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("generate", "Make pictures from prompts");
  command->add_option("prompt", options->prompts, "What the pictures show, one job each");
  command->add_option("--prompt-file", options->prompt_file,
                      "Jobs, one a line: a prompt, or JSON as --json and gesso metadata print it; "
                      "- for standard input");
  command->add_option("--from", options->from,
                      "Make the picture in this PNG file again, from the settings inside it");
  AddRequestOptions(*command, options->request, Medium::kPicture);
  AddWriterOptions(*command, options->writer);
  options->engine.AddTo(*command);
  command->footer(
      "Examples:\n"
      "  gesso generate \"a red apple and a cat\" -o out.png\n"
      "  gesso generate \"two blue fish\" -b 16 --grid --seed 7 -o sheet.png\n"
      "  gesso generate \"a cat\" -i photo.jpg --strength 0.6 -o cat.png\n"
      "  gesso generate --prompt-file prompts.txt -o 'out/%03d.png'\n"
      "  gesso generate --from out.png --steps 50 -o finer.png");
  UseSettings(*command, [options] { options->request->reads_flags = true; });
  command->callback([options, &chosen] { chosen = [options] { return Run(*options); }; });
}

}  // namespace gesso
