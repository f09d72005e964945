#include "kernels/core/replay.h"

namespace gesso {

namespace {

// Samplers have a handful of buffers that they pass around, next-scale models a pass for each of
// their scales. More would be memory lost on the device.
constexpr size_t kMostPasses = 64;

}  // namespace

bool Replayer::Records() {
  const Backend* const backend = CurrentBackend();
  return backend != nullptr && backend->records();
}

Backend* Replayer::BackendFor(const Context& ctx) {
  const bool looked_at = ctx.profiler != nullptr || ctx.tap != nullptr;
  return ctx.device == Device::kCuda && Records() && !looked_at ? CurrentBackend() : nullptr;
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
  if (!watch.first().empty()) return Refuse(pass, watch.first(), backend);
  pass.state = State::kWarm;
}

void Replayer::Refuse(Pass& pass, const std::string& why, Backend& backend) {
  pass.state = State::kRefused;
  backend.AddObstacle(why);
}

}  // namespace gesso
