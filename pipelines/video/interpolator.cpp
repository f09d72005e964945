#include "pipelines/video/interpolator.h"

#include "pipelines/video/frames.h"

namespace gesso {

namespace {

// The frames between have noise of their own.
constexpr int64_t kNoiseOffset = int64_t{1} << 40;

}  // namespace

Interpolator::Interpolator(int64_t between, const Shape& shape, Work work, Emit emit)
    : between_(between), shape_(shape), work_(std::move(work)), emit_(std::move(emit)) {
  RequireFit(between, shape[2]);
}

void Interpolator::RequireFit(int64_t between, int64_t length) {
  Require(between == 0 || between + 2 <= length, ErrorKind::kUsage,
          "interpolate: a part of {} frames holds {} between two at most, not {}", length,
          length - 2, between);
}

int64_t Interpolator::CountWindows(int64_t frames, bool loop) const {
  const int64_t gaps = loop ? frames : frames - 1;
  return (gaps + Capacity() - 2) / (Capacity() - 1);
}

void Interpolator::Add(Tensor frame) {
  given_.push_back(std::move(frame));
  if (static_cast<int64_t>(given_.size()) == Capacity()) Paint();
}

void Interpolator::Finish(const Tensor* first) {
  if (first != nullptr) given_.push_back(*first);
  if (given_.size() > 1) Paint();
  if (first == nullptr) emit_(given_.front());
}

void Interpolator::Paint() {
  const int64_t length = shape_[2];
  Window window{.known = Tensor(shape_, DType::kF32)};
  window.held.assign(static_cast<size_t>(length), 0.0f);
  for (size_t i = 0; i < given_.size(); ++i) {
    const int64_t at = static_cast<int64_t>(i) * Step();
    PutFrames(given_[i], at, window.known.mutable_view());
    window.held[static_cast<size_t>(at)] = 1;
  }
  for (int64_t t = 0; t < length; ++t) {
    window.noise_frames.push_back(kNoiseOffset + first_ * Step() + t);
    window.times.push_back(first_ + t / Step());
  }
  const Tensor painted = work_(std::move(window));
  const int64_t gaps = static_cast<int64_t>(given_.size()) - 1;
  for (int64_t t = 0; t < gaps * Step(); ++t) emit_(TakeFrames(painted, t, 1));
  first_ += gaps;
  given_.erase(given_.begin(), given_.end() - 1);
}

}  // namespace gesso
