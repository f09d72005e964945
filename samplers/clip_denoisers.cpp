#include "samplers/clip_denoisers.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "kernels/elementwise.h"

namespace gesso {

namespace {

// Frames first..end-1 of channel c of clip b, [1, 1, n, H, W]: contiguous.
template <class AnyView>
AnyView FramesOf(AnyView x, int64_t b, int64_t c, int64_t first, int64_t end) {
  return x.Slice(0, b, b + 1).Slice(1, c, c + 1).Slice(2, first, end);
}

// Calls body(b, c) for every channel of every clip.
template <class Body>
void ForEachChannel(const Shape& shape, const Body& body) {
  for (int64_t b = 0; b < shape[0]; ++b) {
    for (int64_t c = 0; c < shape[1]; ++c) body(b, c);
  }
}

void Copy(Context& ctx, ConstView from, View to) {
  const std::array<Term, 1> terms = {Term{1, from}};
  LinearCombination(ctx, {.terms = terms, .out = to});
}

// to[(t + shift) mod T] = from[t]
void Roll(Context& ctx, ConstView from, int64_t shift, View to) {
  const int64_t frames = from.shape[2];
  ForEachChannel(from.shape, [&](int64_t b, int64_t c) {
    Copy(ctx, FramesOf(from, b, c, 0, frames - shift), FramesOf(to, b, c, shift, frames));
    if (shift == 0) return;
    Copy(ctx, FramesOf(from, b, c, frames - shift, frames), FramesOf(to, b, c, 0, shift));
  });
}

// How far the frames move on from call to call: near 3/8 of them, and visiting every place.
int64_t Stride(int64_t frames) {
  int64_t stride = std::max<int64_t>(1, 3 * frames / 8);
  while (std::gcd(stride, frames) != 1) ++stride;
  return stride;
}

}  // namespace

HeldFrames::HeldFrames(Denoiser& inner, ConstView known, std::vector<float> weights)
    : inner_(inner), known_(known), weights_(std::move(weights)) {
  Require(known.shape.rank() == 5 && known.shape[2] == static_cast<int64_t>(weights_.size()),
          ErrorKind::kShape, "{} weights do not fit the frames of {}", weights_.size(),
          known.shape);
}

void HeldFrames::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  CHECK(x.shape == known_.shape);
  inner_.Denoise(ctx, x, sigma, denoised);
  for (int64_t t = 0; t < x.shape[2]; ++t) {
    const float weight = weights_[static_cast<size_t>(t)];
    if (weight == 0) continue;
    ForEachChannel(x.shape, [&](int64_t b, int64_t c) {
      const View out = FramesOf(denoised, b, c, t, t + 1);
      const ConstView known = FramesOf(known_, b, c, t, t + 1);
      if (weight == 1) return Copy(ctx, known, out);
      const std::array<Term, 2> terms = {Term{weight, known}, Term{1 - weight, out}};
      LinearCombination(ctx, {.terms = terms, .out = out});
    });
  }
}

FrameChoice::FrameChoice(std::vector<Denoiser*> parts, std::vector<size_t> which)
    : parts_(std::move(parts)), which_(std::move(which)) {
  for (const size_t part : which_) CHECK(part < parts_.size());
}

void FrameChoice::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  CHECK(x.shape.rank() == 5 && x.shape[2] == static_cast<int64_t>(which_.size()));
  if (std::ranges::adjacent_find(which_, std::ranges::not_equal_to()) == which_.end()) {
    return parts_[which_.front()]->Denoise(ctx, x, sigma, denoised);
  }
  const Arena::Scope scope(*ctx.arena);
  const View estimate = ctx.arena->Alloc(x.shape, DType::kF32);
  for (size_t part = 0; part < parts_.size(); ++part) {
    if (std::ranges::find(which_, part) == which_.end()) continue;
    parts_[part]->Denoise(ctx, x, sigma, estimate);
    for (int64_t t = 0; t < x.shape[2]; ++t) {
      if (which_[static_cast<size_t>(t)] != part) continue;
      ForEachChannel(x.shape, [&](int64_t b, int64_t c) {
        Copy(ctx, FramesOf(estimate, b, c, t, t + 1), FramesOf(denoised, b, c, t, t + 1));
      });
    }
  }
}

void RolledFrames::Denoise(Context& ctx, ConstView x, double sigma, View denoised) {
  const int64_t frames = x.shape[2];
  const int64_t shift = calls_++ * Stride(frames) % frames;
  const Arena::Scope scope(*ctx.arena);
  const View rolled = ctx.arena->Alloc(x.shape, DType::kF32);
  const View estimate = ctx.arena->Alloc(x.shape, DType::kF32);
  Roll(ctx, x, shift, rolled);
  inner_.Denoise(ctx, rolled, sigma, estimate);
  Roll(ctx, estimate, (frames - shift) % frames, denoised);
}

}  // namespace gesso
