#include "cli/clip_reporter.h"

#include <fmt/format.h>

#include "cli/interrupt.h"
#include "cli/print.h"
#include "models/io/output_file.h"

namespace gesso {

ClipReporter::ClipReporter(ClipWriter& writer, const ScaleOptions& scale)
    : writer_(writer), scale_(scale), start_(std::chrono::steady_clock::now()) {}

void ClipReporter::OnStep(const ClipStep& step) {
  if (Interrupted()) Fail(ErrorKind::kCancelled, "interrupted");
  const double share =
      (static_cast<double>(step.window) + step.progress) / static_cast<double>(step.windows);
  const std::string label =
      step.windows == 1 ? "" : fmt::format("part {} of {}", step.window + 1, step.windows);
  progress_.Show(share, label);
}

void ClipReporter::OnFrame(const Image& frame) {
  writer_.Add(scale_.factor == 1 ? frame : Enlarge(frame, scale_.factor, scale_.filter));
}

void ClipReporter::Finish(const std::string& path, const ClipSpec& spec, bool json) {
  progress_.Clear();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  PrintNews(fmt::format("{}: {} frames of {} x {}, {:g} frames/s, seed {}, {:.2f} s\n", path,
                        spec.frames, spec.width, spec.height, spec.fps, *spec.request.seed,
                        seconds));
  if (!json) return WriteStdout(path + "\n");
  PrintJson({{"path", path},
             {"width", spec.width},
             {"height", spec.height},
             {"frames", spec.frames},
             {"fps", spec.fps},
             {"request", ToJson(spec.request)},
             {"seconds", seconds}});
}

}  // namespace gesso
