#include "cli/picture_writer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "cli/interrupt.h"
#include "cli/print.h"
#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "samplers/registry.h"

namespace gesso {

namespace {

int64_t CountPictures(const std::vector<Request>& jobs) {
  int64_t count = 0;
  for (const Request& job : jobs) count += *job.batch_count;
  return count;
}

void StopIfInterrupted() {
  if (Interrupted()) Fail(ErrorKind::kCancelled, "interrupted");
}

// `format`; for a picture with longer sides than it takes PNG, and the name becomes one of PNG.
const PictureFormat& FormatThatHolds(const Image& image, const PictureFormat& format,
                                     std::filesystem::path& path) {
  if (std::max(image.width, image.height) <= format.max_side) return format;
  path.replace_extension(PictureFormats().front().suffix);
  return PictureFormats().front();
}

// Adds one picture's settings to those of a sheet: pictures that only count the seed up are one
// request.
void AddSettings(std::vector<Request>& sheet, const Request& picture) {
  if (!sheet.empty()) {
    Request next = sheet.back();
    next.seed = *next.seed + static_cast<uint64_t>(*next.batch_count);
    next.batch_count = 1;
    if (next == picture) {
      sheet.back().batch_count = *sheet.back().batch_count + 1;
      return;
    }
  }
  sheet.push_back(picture);
}

}  // namespace

PictureWriter::PictureWriter(const WriterOptions& options, const std::vector<Request>& jobs)
    : options_(options),
      total_(CountPictures(jobs)),
      names_(options.output, options.grid ? 1 : total_, options.overwrite),
      last_time_(std::chrono::steady_clock::now()) {
  Require(!(names_.is_stdout() && options.json), ErrorKind::kUsage,
          "--json and -o - both want standard output");
  if (!options_.preview.empty()) {
    preview_format_ = &FormatNamed("--preview", options_.preview);
    CheckOutput(options_.preview, true);
    CheckPreview(jobs);
  }
  int64_t index = 0;
  for (const Request& job : jobs) {
    Require(!options.grid || (job.width == jobs[0].width && job.height == jobs[0].height),
            ErrorKind::kUsage, "--grid: all pictures of a sheet must have one size");
    if (options.grid && index > 0) continue;
    const int64_t files = options.grid ? 1 : *job.batch_count;
    for (int64_t i = 0; i < files; ++i) {
      const std::filesystem::path path = names_.At(index++, *job.seed + static_cast<uint64_t>(i));
      RefusePreviewOver(path, "is the file of a picture (-o)");
    }
  }
}

void PictureWriter::RefusePreviewOver(const std::filesystem::path& file,
                                      std::string_view what) const {
  std::error_code error;
  const auto place = [&error](const std::filesystem::path& path) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
  };
  if (options_.preview.empty() || std::filesystem::is_other(options_.preview, error)) return;
  const std::filesystem::path preview = place(options_.preview);
  Require(preview.empty() || preview != place(file), ErrorKind::kUsage,
          "--preview {}: {}; choose another name for previews", options_.preview, what);
}

void PictureWriter::CheckPreview(const std::vector<Request>& jobs) const {
  for (const std::string& input : options_.inputs) {
    RefusePreviewOver(input, "is the file that the jobs come from");
  }
  for (const Request& job : jobs) {
    if (job.init_image) RefusePreviewOver(*job.init_image, "is the picture to start from");
    if (job.mask) RefusePreviewOver(*job.mask, "is the mask");
  }
}

void PictureWriter::OnStep(const StepReport& step) {
  StopIfInterrupted();
  ShowProgress(step);
  ++steps_;
  together_ = step.count;
  shown_ = steps_ % options_.preview_every == 0;
  if (shown_ && !options_.preview.empty()) WritePreview(step.preview());
}

void PictureWriter::ShowProgress(const StepReport& step) {
  const double pictures =
      static_cast<double>(done_) + step.progress * static_cast<double>(step.count);
  std::string label = fmt::format("step {}", steps_ + 1);
  if (total_ > 1) {
    label += step.count == 1
                 ? fmt::format("  picture {} of {}", done_ + 1, total_)
                 : fmt::format("  pictures {}-{} of {}", done_ + 1, done_ + step.count, total_);
  }
  progress_.Show(pictures / static_cast<double>(total_), label);
}

// The last step is always shown, when all pictures that were made together are there.
void PictureWriter::ShowLast(const Image& image) {
  if (shown_ || options_.preview.empty()) return;
  finished_.push_back(image);
  if (std::ssize(finished_) < together_) return;
  WritePreview(finished_);
  finished_.clear();
}

void PictureWriter::WritePreview(const std::vector<Image>& images) {
  const Image& image = images.size() == 1 ? images.front() : MakeSheet(images);
  std::filesystem::path path = options_.preview;
  WriteFile(path, FormatThatHolds(image, *preview_format_, path).encode(image, {}), true);
}

void PictureWriter::OnPicture(const Picture& picture) {
  ++done_;
  if (steps_ > 0 || picture.index == 0) taken_ = steps_;
  steps_ = 0;
  ShowLast(picture.image);
  if (options_.grid) {
    sheet_.push_back(picture.image);
    AddSettings(sheet_settings_, picture.request);
  } else {
    Write(picture.image, {picture.request});
  }
  StopIfInterrupted();
}

void PictureWriter::Finish() {
  if (!sheet_.empty()) Write(MakeSheet(sheet_), sheet_settings_);
  StopIfInterrupted();
}

void PictureWriter::Write(const Image& image, const std::vector<Request>& settings) {
  progress_.Clear();
  std::filesystem::path path = names_.At(written_++, *settings.front().seed);
  const PictureFormat& format = FormatThatHolds(image, names_.format(), path);
  if (&format != &names_.format()) {
    spdlog::warn("{} x {} pixels are too many for {}: written as {}", image.width, image.height,
                 names_.format().suffix, path.string());
  }
  const std::string file = format.encode(image, MetadataOf(settings));
  if (names_.is_stdout()) {
    WriteStdout(file);
  } else {
    names_.MakeFolder();
    WriteFile(path, file, options_.overwrite);
  }
  Report(path.string(), image, settings);
}

std::string PictureWriter::StepsOf(const Request& request) const {
  if (!request.steps) return "";
  const std::string& method = *request.sampling_method;
  // What makes all pictures of a batch depend on each other is that it chooses its steps by them.
  const int64_t steps = FindSampler(method).couples_batch ? taken_ : *request.steps;
  return fmt::format("{} steps of {}, ", steps, method);
}

void PictureWriter::Report(const std::string& path, const Image& image,
                           const std::vector<Request>& settings) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - last_time_).count();
  last_time_ = now;
  const Request& first = settings.front();
  PrintNews(fmt::format("{}: {} x {}, seed {}, {}{:.2f} s\n", path, image.width, image.height,
                        *first.seed, StepsOf(first), seconds));
  if (options_.json) {
    Json requests = Json::array();
    for (const Request& request : settings) requests.push_back(ToJson(request));
    PrintJson({{"path", path}, {"requests", requests}, {"seconds", seconds}});
  } else if (!names_.is_stdout()) {
    WriteStdout(path + "\n");
  }
}

}  // namespace gesso
