// How a clip longer than a network's own is cut into parts that it can make: parts follow each
// other and overlap, and a part starts from what the one before it made.
#pragma once

#include <cstdint>
#include <vector>

namespace gesso {

struct ClipPart {
  int64_t first;  // frame of the clip that it begins with
  int64_t head;   // of its frames, how many the part before has made too
  int64_t tail;   // ... and how many at its end are the clip's first again
  int64_t end;    // its frames from `first` up to here go into the clip
};

struct ClipPlan {
  int64_t length = 0;   // frames of every part
  bool rolled = false;  // the one part's end leads to its beginning
  std::vector<ClipPart> parts = {};
};

// For a clip of `frames` frames from a network for `trained` frames. Parts overlap by `overlap`
// frames. A loop ends with a part that leads back to the first frames; one no longer than `trained`
// is a single part of its own length. Other short clips are the beginning of a whole part. Throws
// kUsage where parts are needed and 2 overlap >= trained, and for a loop of one frame.
ClipPlan PlanClip(int64_t frames, int64_t trained, int64_t overlap, bool loop);

}  // namespace gesso
