#include "pipelines/video/clip_plan.h"

#include "kernels/core/error.h"

namespace gesso {

ClipPlan PlanClip(int64_t frames, int64_t trained, int64_t overlap, bool loop) {
  CHECK(frames > 0 && trained > 0 && overlap >= 0);
  Require(!loop || frames > 1, ErrorKind::kUsage, "loop: one frame leads nowhere");
  if (frames <= trained) {
    return {.length = loop ? frames : trained, .rolled = loop, .parts = {{0, 0, 0, frames}}};
  }
  Require(2 * overlap < trained, ErrorKind::kUsage,
          "overlap: parts of {} frames can share {} at most, not {}", trained, (trained - 1) / 2,
          overlap);
  ClipPlan plan{.length = trained};
  // The part that closes a loop begins here; before that, frames are needed up to `needed`.
  const int64_t closing = frames + overlap - trained;
  const int64_t needed = loop ? closing + overlap : frames;
  int64_t first = 0;
  for (; plan.parts.empty() || plan.parts.back().first + trained < needed;
       first += trained - overlap) {
    plan.parts.push_back({first, plan.parts.empty() ? 0 : overlap, 0, frames});
  }
  if (loop) plan.parts.push_back({closing, overlap, overlap, frames});
  for (size_t i = 0; i + 1 < plan.parts.size(); ++i) plan.parts[i].end = plan.parts[i + 1].first;
  return plan;
}

}  // namespace gesso
