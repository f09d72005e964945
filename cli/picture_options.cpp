#include "cli/picture_options.h"

#include "cli/interrupt.h"
#include "pipelines/generator.h"
#include "pipelines/media/metadata.h"
#include "pipelines/prompt_file.h"

namespace gesso {

namespace {

// The jobs asked for, in order; fields that nobody has set are open.
std::vector<Request> JobsOf(const PictureOptions& options) {
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
  const Request& flags = options.request->flags;
  std::vector<Request> jobs;
  if (options.from.empty()) {
    for (const Request& prompt : prompts) {
      jobs.push_back(Merge(Merge(options.request->defaults, flags), prompt));
    }
    return jobs;
  }
  // A picture's own settings are complete: what is set elsewhere for every run stays out of it.
  for (const Request& saved : ReadMetadata(options.from)) {
    for (const Request& prompt : prompts) {
      jobs.push_back(MergeOverSaved(saved, Merge(flags, prompt), options.from));
    }
  }
  return jobs;
}

// Returns the option --preview-every.
const CLI::Option* AddWriterOptions(CLI::App& command, WriterOptions& writer) {
  command.add_option("-o,--output", writer.output,
                     "File (" + PictureSuffixes() +
                         "), name with a number (%03d, from 0), or a folder or - for standard "
                         "output, which get PNG; a fresh gesso-SEED.png if absent");
  command.add_flag("--overwrite", writer.overwrite, "Replace files that exist");
  command.add_flag("--grid", writer.grid, "Put all pictures on one sheet");
  command.add_flag("--json", writer.json, "Print a JSON object a file instead of its path");
  command.add_option(
      "--preview", writer.preview,
      "Picture file that shows those being made, written anew every few steps and at the last");
  return command
      .add_option("--preview-every", writer.preview_every, "Steps from preview to preview")
      ->check(CLI::Range(int64_t{1}, int64_t{10000}))
      ->capture_default_str();
}

}  // namespace

int PictureOptions::Run() const {
  RequireEffect(*preview_every, !writer.preview.empty(), "without --preview");
  CatchInterrupts();
  engine.Apply();
  Generator generator(engine.Device());
  std::vector<Request> jobs = JobsOf(*this);
  for (Request& job : jobs) job = generator.Resolve(job);
  WriterOptions options = writer;
  for (const std::string& input : {prompt_file, from}) {
    if (!input.empty()) options.inputs.push_back(input);
  }
  PictureWriter pictures(options, jobs);
  try {
    for (const Request& job : jobs) generator.Run(job, pictures);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) pictures.Finish();
    throw;
  }
  pictures.Finish();
  return 0;
}

void PictureOptions::AddTo(CLI::App& command, const std::shared_ptr<PictureOptions>& options) {
  AddRequestOptions(command, options->request, Medium::kPicture);
  options->preview_every = AddWriterOptions(command, options->writer);
  options->engine.AddTo(command);
}

}  // namespace gesso
