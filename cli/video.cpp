// gesso video: clips from prompts, classes and first frames.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "cli/clip_reporter.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/request_options.h"
#include "cli/settings.h"
#include "models/io/output_file.h"
#include "pipelines/media/metadata.h"
#include "pipelines/video/clip_generator.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string prompt;
  bool has_prompt = false;
  std::string output;
  std::string from;
  bool resume = false;
  int scale = 1;
  std::string scale_filter = "nearest";
  bool json = false;
  ClipOptions clip;
  std::shared_ptr<RequestOptions> request = std::make_shared<RequestOptions>();
  EngineOptions engine;
};

// Where the finished windows of a clip lie until it is complete.
fs::path WorkFolderOf(fs::path output) {
  if (!output.has_filename()) output = output.parent_path();
  return output += ".work";
}

// The windows of the clip that are there, or a new folder for them; none for a device or pipe.
std::optional<WindowStore> OpenStore(const fs::path& folder, const Options& options,
                                     const Request& resolved) {
  std::error_code error;
  if (fs::is_other(options.output, error)) return std::nullopt;
  if (!fs::exists(folder, error)) return WindowStore::Create(folder, resolved);
  if (options.resume) return WindowStore::Resume(folder, resolved);
  Require(options.clip.overwrite, ErrorKind::kOutput,
          "{}: holds an unfinished clip; --resume goes on with it, --overwrite starts anew",
          folder.string());
  WindowStore::Remove(folder);
  return WindowStore::Create(folder, resolved);
}

// The request with the seed of the run that it goes on with.
Request RequestOf(const Options& options, const fs::path& folder) {
  Request flags = options.request->flags;
  if (options.has_prompt) SetField(flags, "prompt", options.prompt, "prompt");
  // A clip's own settings are complete: what is set elsewhere for every run stays out of it.
  Request request = options.from.empty()
                        ? Merge(options.request->defaults, flags)
                        : MergeOverSaved(ReadMetadata(options.from).front(), flags, options.from);
  if (!options.resume) return request;
  const std::optional<Request> saved = WindowStore::SavedRequest(folder);
  if (saved && !request.seed) request.seed = saved->seed;
  return request;
}

ClipSpec SpecOf(const ClipFormat& format, const Request& request, int scale) {
  return {.width = format.width * scale,
          .height = format.height * scale,
          .frames = format.frames,
          .fps = format.fps,
          .request = request};
}

int Run(const Options& options) {
  CatchInterrupts();
  options.engine.Apply();
  const ScaleOptions scale = {options.scale, ParseScaleFilter(options.scale_filter)};
  CheckClip(options.output, options.clip);
  const fs::path folder = WorkFolderOf(options.output);
  ClipGenerator generator(options.engine.Device());
  const Request request = generator.Resolve(RequestOf(options, folder));
  const ClipSpec spec = SpecOf(generator.FormatOf(request), request, options.scale);
  const std::unique_ptr<ClipWriter> writer = OpenClip(options.output, spec, options.clip);
  const std::optional<WindowStore> store = OpenStore(folder, options, request);
  ClipReporter reporter(*writer, scale);
  try {
    generator.Run(request, store ? &*store : nullptr, reporter);
    writer->Finish();
  } catch (const Error&) {
    if (store && store->IsEmpty()) {
      WindowStore::Remove(folder);
    } else if (store) {
      spdlog::info("{} keeps what is finished; the same command with --resume goes on from there",
                   folder.string());
    }
    throw;
  }
  if (store) WindowStore::Remove(folder);
  reporter.Finish(options.output, spec, options.json);
  return 0;
}

// Returns the option --scale-filter.
const CLI::Option* AddClipOptions(CLI::App& command, Options& options) {
  command
      .add_option("-o,--output", options.output,
                  "File (.mp4, .webm, .mkv, .mov, .gif, .apng) or folder of numbered frames")
      ->required();
  command.add_flag("--overwrite", options.clip.overwrite,
                   "Replace a file that exists; without --resume an unfinished clip, too");
  command.add_flag("--resume", options.resume,
                   "Go on with an interrupted clip, whose finished parts lie in OUTPUT.work");
  command.add_option("--codec", options.clip.codec,
                     "h264, vp9 or av1; what suits the file if absent");
  command.add_option("--crf", options.clip.crf, "Quality: 0 is the best, 51 or 63 the worst");
  command.add_option("--pixel-format", options.clip.pixel_format,
                     "How colours are kept: yuv420p (if absent), yuv444p, ...");
  command.add_option("--scale", options.scale, "Enlarge the frames this many times")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_flag("--json", options.json, "Print a JSON object instead of the file's path");
  return command
      .add_option("--scale-filter", options.scale_filter,
                  "How: nearest keeps the pixels visible, smooth does not")
      ->capture_default_str();
}

}  // namespace

void AddVideo(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("video", "Make a clip from a prompt or a first frame");
  command->add_option_function<std::string>(
      "prompt",
      [options](const std::string& prompt) {
        options->prompt = prompt;
        options->has_prompt = true;
      },
      "What the clip shows");
  command->add_option("--from", options->from,
                      "Make the clip in this file again, from the settings inside it");
  AddRequestOptions(*command, options->request, Medium::kClip);
  const CLI::Option* filter = AddClipOptions(*command, *options);
  options->engine.AddTo(*command);
  command->footer([] {  // when it is asked for: FFmpeg has to be loaded
    return "Examples:\n"
           "  gesso video \"a ball bounces\" -o ball.mp4\n"
           "  gesso video \"a car moves left\" --frames 48 --scale 4 -o car.webm\n"
           "  gesso video \"a star spins\" --loop --interpolate 2 -o star.gif\n"
           "  gesso video \"a cat moves up\" --image cat.png --crf 12 -o cat.mp4\n"
           "  gesso video --prompt-schedule \"0:a car moves left|24:a fish moves left\" "
           "\\\n"
           "      --frames 48 -o both.mp4\n"
           "  gesso video \"a fish moves right\" --frames 2000 -o long.mp4 --resume\n"
           "  gesso video --from ball.mp4 --steps 50 -o finer.mp4\n"
           "  gesso video \"a ball bounces\" -o frames/"
           "\n\nCodecs here: " +
           PresentCodecs();
  });
  UseSettings(*command, [options] { options->request->reads_flags = true; });
  command->callback([options, filter, &chosen] {
    RequireEffect(*filter, options->scale > 1, "without --scale");
    chosen = [options] { return Run(*options); };
  });
}

}  // namespace gesso
