// From a request to the frames of a clip, in order and one at a time: what is kept of it does not
// grow with its length.
#pragma once

#include <filesystem>
#include <memory>

#include "pipelines/diffusion_model.h"
#include "pipelines/image.h"
#include "pipelines/video/window_store.h"

namespace gesso {

// The model that makes clips where none is named.
constexpr std::string_view kDefaultClipModel = "demo-video";

struct ClipStep {
  int64_t window;   // being made, from 0
  int64_t windows;  // of the clip
  double progress;  // of the window, 0 .. 1
};

// Follows the work. Throwing Error(kCancelled) ends it; finished windows are kept in the store.
class ClipObserver {
 public:
  virtual ~ClipObserver() = default;
  virtual void OnStep(const ClipStep& step) = 0;
  virtual void OnFrame(const Image& frame) = 0;
};

// What the finished clip is.
struct ClipFormat {
  int width;
  int height;
  int channels;
  int64_t frames;
  double fps;
};

class ClipGenerator {
 public:
  explicit ClipGenerator(Device device) : device_(device) {}

  // `request` with every open field filled in from the model's defaults; a seed is chosen. Loads
  // the model. Throws kUsage for what the model cannot do.
  Request Resolve(const Request& request);

  // Of a resolved request: with the frames that interpolation adds.
  ClipFormat FormatOf(const Request& resolved) const;

  // Makes the clip; the same frames at every run. Windows that `store` (or null) holds are taken
  // from it, the others are saved there. Throws kMemory, before the work starts, where it does not
  // fit.
  void Run(const Request& resolved, const WindowStore* store, ClipObserver& observer);

 private:
  Device device_;
  DiffusionModel model_;  // of the request resolved last
};

}  // namespace gesso
