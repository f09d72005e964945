#include "kernels/core/replay.h"

#include "kernels/core/error.h"

namespace gesso {

namespace {

// Samplers have a handful of buffers that they pass around. More would be memory lost on the
// device.
constexpr size_t kMostPasses = 16;

}  // namespace

Backend* Replayer::BackendFor(const Context& ctx) {
  Backend* const backend = ctx.device == Device::kCuda ? CurrentBackend() : nullptr;
  const bool looked_at = ctx.profiler != nullptr || ctx.tap != nullptr;
  return backend != nullptr && backend->records() && !looked_at ? backend : nullptr;
}

Replayer::Pass& Replayer::PassAt(const Key& key, const Backend& backend) {
  if (passes_.size() >= kMostPasses && !passes_.contains(key)) passes_.clear();
  Pass& pass = passes_[key];
  if (pass.state == State::kRecorded && pass.scratch_moves != backend.ScratchMoves()) {
    pass.recording = nullptr;
    pass.state = State::kWarm;
  }
  return pass;
}

void Replayer::Learn(Pass& pass, const ObstacleWatch& watch, Backend& backend) {
  pass.state = watch.first().empty() ? State::kWarm : State::kRefused;
  if (pass.state == State::kRefused) backend.AddObstacle(watch.first());
}

bool Replayer::Keep(Pass& pass, RecordingScope& scope, Backend& backend) {
  try {
    pass.recording = scope.End();
  } catch (const Error& error) {
    pass.state = State::kRefused;
    backend.AddObstacle(error.what());
    return false;
  }
  pass.scratch_moves = backend.ScratchMoves();
  pass.state = State::kRecorded;
  return true;
}

}  // namespace gesso
