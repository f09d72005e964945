// What `gesso video` does with the work's news: progress, frames to the file, and the result.
#pragma once

#include <chrono>
#include <string>

#include "cli/terminal.h"
#include "pipelines/media/clip_writer.h"
#include "pipelines/media/enlarge.h"
#include "pipelines/video/clip_generator.h"

namespace gesso {

struct ScaleOptions {
  int factor = 1;
  ScaleFilter filter = ScaleFilter::kNearest;
};

class ClipReporter : public ClipObserver {
 public:
  // Keeps a reference to `writer`.
  ClipReporter(ClipWriter& writer, const ScaleOptions& scale);

  // Throw kCancelled after an interruption.
  void OnStep(const ClipStep& step) override;
  void OnFrame(const Image& frame) override;

  // Says what was written: `path`, or a JSON object.
  void Finish(const std::string& path, const ClipSpec& spec, bool json);

 private:
  ClipWriter& writer_;
  ScaleOptions scale_;
  ProgressBar progress_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace gesso
