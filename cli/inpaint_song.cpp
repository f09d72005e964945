#include "cli/inpaint_song.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/terminal.h"
#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/midi/synthesiser.h"
#include "pipelines/media/suffix.h"
#include "pipelines/song_painter.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

class Progress : public GenerateObserver {
 public:
  void OnStep(const StepReport& step) override {
    Require(!Interrupted(), ErrorKind::kCancelled, "interrupted");
    bar_.Show(step.progress, fmt::format("step {}", ++steps_));
  }
  void OnPicture(const Picture&) override {}

 private:
  ProgressBar bar_;
  int64_t steps_ = 0;
};

size_t BarNumber(std::string_view text, const std::string& bars) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  Require(error == std::errc() && end == text.data() + text.size() && number > 0, ErrorKind::kUsage,
          "--bars: '{}' is neither a bar such as 3 nor bars such as 3-4", bars);
  return number - 1;
}

Image MaskOf(const RollGrid& grid, const Request& request, const std::string& bars) {
  Require(bars.empty() != !request.mask, ErrorKind::kUsage,
          "--bars or --mask: one of them says what is composed again; a mask is a picture of "
          "{} x {} pixels",
          grid.steps(), kRollRows);
  if (request.mask) return ReadImage(*request.mask, 1);
  const size_t dash = bars.find('-');
  const std::string_view text = bars;
  const size_t first = BarNumber(text.substr(0, dash), bars);
  return BarMask(grid, first,
                 dash == std::string::npos ? first : BarNumber(text.substr(dash + 1), bars));
}

void RequireNone(bool given, const char* option) {
  Require(!given, ErrorKind::kUsage, "{}: songs do not have it", option);
}

}  // namespace

int InpaintSong(const PictureOptions& options, const std::string& song, const std::string& bars) {
  RequireNone(!options.prompt_file.empty(), "--prompt-file");
  RequireNone(!options.from.empty(), "--from");
  RequireNone(options.writer.grid, "--grid");
  RequireNone(!options.writer.preview.empty(), "--preview");
  RequireNone(options.preview_every->count() > 0, "--preview-every");
  Require(options.prompts.size() < 2, ErrorKind::kUsage, "a song is composed for one prompt");
  const fs::path output = options.writer.output.empty()
                              ? fs::path(fs::path(song).stem().string() + "-refilled.mid")
                              : fs::path(options.writer.output);
  const bool is_sound = SuffixOf(output) == ".wav";
  Require(is_sound || IsMidiName(output), ErrorKind::kUsage, "-o: {} has to end in .mid or .wav",
          output.string());
  CheckOutput(output, options.writer.overwrite);
  std::optional<Synthesiser> synthesiser;  // is missed before the work
  if (is_sound) synthesiser = RequireSynthesiser();
  const MidiFile before = ReadMidi(song);

  Request request = Merge(options.request->defaults, options.request->flags);
  if (!options.prompts.empty()) request.prompt = options.prompts.front();
  const Image mask = MaskOf(RollGrid(before, song), request, bars);
  request.mask.reset();
  CatchInterrupts();
  options.engine.Apply();
  Generator generator(options.engine.Device());
  Progress progress;
  const MidiFile after = ComposeAgain(generator, before, mask, request, progress, song).song;
  if (synthesiser) {
    RenderSong(*synthesiser, after, output, options.writer.overwrite);
  } else {
    WriteMidi(output, after, options.writer.overwrite);
  }
  const auto notes = std::pair(NotesOf(before).size(), NotesOf(after).size());
  PrintNews(fmt::format("{}: {} notes, {} before\n", output.string(), notes.second, notes.first));
  if (options.writer.json) {
    PrintJson({{"path", output.string()}, {"notes", notes.second}, {"notes_before", notes.first}});
  } else {
    WriteStdout(output.string() + "\n");
  }
  return 0;
}

}  // namespace gesso
