#include "samplers/next_token/token_draws.h"

#include "kernels/core/rng.h"

namespace gesso {

namespace {

enum class Kind : uint64_t { kSample, kAccept, kResample, kDraft, kCount };

double Draw(uint64_t seed, Kind kind, int64_t call, int64_t index) {
  const auto kinds = static_cast<uint64_t>(Kind::kCount);
  return UniformAt(seed, static_cast<uint64_t>(call) * kinds + static_cast<uint64_t>(kind),
                   static_cast<uint64_t>(index));
}

}  // namespace

double PhiloxTokenDraws::Sample(int64_t call, int64_t position) const {
  return Draw(seed_, Kind::kSample, call, position);
}

double PhiloxTokenDraws::Accept(int64_t call, int64_t position) const {
  return Draw(seed_, Kind::kAccept, call, position);
}

double PhiloxTokenDraws::Resample(int64_t call) const {
  return Draw(seed_, Kind::kResample, call, 0);
}

int64_t PhiloxTokenDraws::Draft(int64_t call, int64_t index, int64_t choices) const {
  return static_cast<int64_t>(Draw(seed_, Kind::kDraft, call, index) *
                              static_cast<double>(choices));
}

}  // namespace gesso
