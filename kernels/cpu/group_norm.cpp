#include "kernels/cpu/group_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/group_norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

// A picture is cut into blocks of pixels that fit into the L2. Each block gives mean and squared
// deviations of every group; these are joined in double, in the order of the blocks.

#ifndef GESSO_KERNELS_CPU_GROUP_NORM_TYPES_
#define GESSO_KERNELS_CPU_GROUP_NORM_TYPES_

namespace gesso::cpu {

// Of one group in one block of pixels.
struct Moments {
  double mean = 0;
  double deviations = 0;  // sum of (x - mean)^2
};

// What turns the channels of one picture into the result, [C] each.
struct ChannelTerms {
  const float* mean;
  const float* gain;
  const float* shift;
};

}  // namespace gesso::cpu

#endif  // GESSO_KERNELS_CPU_GROUP_NORM_TYPES_

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// sums[c] = sum of term(x[p, c], c) over the pixels; four pixels at once, as sums[c] is kept in
// memory.
template <class T, class TermFunction>
HWY_INLINE void SumPixels(const T* x, int64_t pixels, int64_t channels, const TermFunction& term,
                          float* sums) {
  const int64_t lanes = LanesF();
  std::fill_n(sums, channels, 0.0f);
  int64_t p = 0;
  for (; p + 4 <= pixels; p += 4, x += 4 * channels) {
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      const auto a = hn::Add(term(Load(x + c), c), term(Load(x + channels + c), c));
      const auto b =
          hn::Add(term(Load(x + 2 * channels + c), c), term(Load(x + 3 * channels + c), c));
      Store(hn::Add(Load(sums + c), hn::Add(a, b)), sums + c);
    }
    if (const int64_t rest = channels - c; rest > 0) {
      auto sum = LoadPart(sums + c, rest);
      for (int64_t i = 0; i < 4; ++i) {
        sum = hn::Add(sum, term(LoadPart(x + i * channels + c, rest), c));
      }
      StorePart(sum, sums + c, rest);
    }
  }
  for (; p < pixels; ++p, x += channels) {
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      Store(hn::Add(Load(sums + c), term(Load(x + c), c)), sums + c);
    }
    if (const int64_t rest = channels - c; rest > 0) {
      StorePart(hn::Add(LoadPart(sums + c, rest), term(LoadPart(x + c, rest), c)), sums + c, rest);
    }
  }
}

// moments[g] of the pixels at x. `sums` and `means` are buffers of whole vectors, [C] or more.
template <class T>
void BlockMoments(const T* x, int64_t pixels, int64_t channels, int64_t groups, float* sums,
                  float* means, cpu::Moments* moments) {
  const int64_t width = channels / groups;
  const auto count = static_cast<double>(pixels * width);
  const auto group_sum = [&](int64_t g) {
    double sum = 0;
    for (int64_t c = g * width; c < (g + 1) * width; ++c) sum += static_cast<double>(sums[c]);
    return sum;
  };
  SumPixels(
      x, pixels, channels, [](VecF value, int64_t) HWY_ATTR { return value; }, sums);
  for (int64_t g = 0; g < groups; ++g) {
    moments[g].mean = group_sum(g) / count;
    std::fill_n(means + g * width, width, static_cast<float>(moments[g].mean));
  }
  const auto square = [means](VecF value, int64_t c) HWY_ATTR {
    const auto difference = hn::Sub(value, Load(means + c));
    return hn::Mul(difference, difference);
  };
  SumPixels(x, pixels, channels, square, sums);
  for (int64_t g = 0; g < groups; ++g) moments[g].deviations = group_sum(g);
}

template <Activation kActivation, class In, class Out>
void Normalise(const In* x, int64_t pixels, int64_t channels, cpu::ChannelTerms terms, Out* out) {
  const int64_t lanes = LanesF();
  const auto finish = [&](VecF value, int64_t c) HWY_ATTR {
    const auto centred = hn::Sub(value, Load(terms.mean + c));
    return Activate<kActivation>(hn::MulAdd(centred, Load(terms.gain + c), Load(terms.shift + c)));
  };
  for (int64_t p = 0; p < pixels; ++p, x += channels, out += channels) {
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) Store(finish(Load(x + c), c), out + c);
    if (const int64_t rest = channels - c; rest > 0) {
      StorePart(finish(LoadPart(x + c, rest), c), out + c, rest);
    }
  }
}

void AnyBlockMoments(ConstView x, int64_t first, int64_t pixels, int64_t groups, float* sums,
                     float* means, cpu::Moments* moments) {
  cpu::WithTypes(x.dtype, DType::kF32, [&](auto in, auto) {
    const int64_t channels = x.shape[3];
    BlockMoments(x.Data<decltype(in)>() + first * channels, pixels, channels, groups, sums, means,
                 moments);
  });
}

void AnyNormalise(const GroupNormArgs& args, int64_t first, int64_t pixels,
                  cpu::ChannelTerms terms) {
  const int64_t channels = args.x.shape[3];
  cpu::WithTypes(args.x.dtype, args.out.dtype, [&](auto in, auto to) {
    const auto* x = args.x.Data<decltype(in)>() + first * channels;
    auto* out = args.out.Data<decltype(to)>() + first * channels;
    switch (args.activation) {
      case Activation::kNone:
        return Normalise<Activation::kNone>(x, pixels, channels, terms, out);
      case Activation::kGeluErf:
        return Normalise<Activation::kGeluErf>(x, pixels, channels, terms, out);
      case Activation::kGeluTanh:
        return Normalise<Activation::kGeluTanh>(x, pixels, channels, terms, out);
      case Activation::kSilu:
        return Normalise<Activation::kSilu>(x, pixels, channels, terms, out);
      case Activation::kRelu:
        return Normalise<Activation::kRelu>(x, pixels, channels, terms, out);
    }
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(AnyBlockMoments);
HWY_EXPORT(AnyNormalise);

namespace {

// Pixels first .. first + count - 1 of the batch, all of picture b.
struct Block {
  int64_t b;
  int64_t first;
  int64_t count;
};

struct Blocks {
  int64_t pixels;  // of a picture
  int64_t grain;   // of a block
  int64_t a_picture = (pixels + grain - 1) / grain;

  Block operator[](int64_t index) const {
    const int64_t b = index / a_picture;
    const int64_t begin = index % a_picture * grain;
    return {b, b * pixels + begin, std::min(grain, pixels - begin)};
  }
};

// Buffers are padded: vectors are loaded as a whole from them.
int64_t Padded(int64_t channels) { return Scratch::Rounded(channels); }

// Mean and variance of group `g` in picture `b`: the blocks joined one by one, Chan et al. 1979.
Moments Joined(const Blocks& blocks, const Moments* moments, int64_t groups, int64_t width,
               int64_t b, int64_t g) {
  Moments all;
  double count = 0;
  for (int64_t i = b * blocks.a_picture; i < (b + 1) * blocks.a_picture; ++i) {
    const Moments& block = moments[i * groups + g];
    const auto added = static_cast<double>(blocks[i].count * width);
    const double difference = block.mean - all.mean;
    const double total = count + added;
    all.mean += difference * added / total;
    all.deviations += block.deviations + difference * difference * count * added / total;
    count = total;
  }
  return {all.mean, all.deviations / count};
}

// Fills terms [B, 3, padded C]: see ChannelTerms.
void FillTerms(const GroupNormArgs& args, const Blocks& blocks, const Moments* moments,
               float* terms) {
  const int64_t channels = args.x.shape[3];
  const int64_t width = channels / args.groups;
  for (int64_t b = 0; b < args.x.shape[0]; ++b) {
    float* mean = terms + b * 3 * Padded(channels);
    float* gain = mean + Padded(channels);
    float* shift = gain + Padded(channels);
    for (int64_t g = 0; g < args.groups; ++g) {
      const Moments all = Joined(blocks, moments, args.groups, width, b, g);
      const double inverse = 1 / std::sqrt(all.deviations + static_cast<double>(args.eps));
      for (int64_t c = g * width; c < (g + 1) * width; ++c) {
        const float scale = args.scale.empty() ? 1.0f : args.scale.Data<float>()[c];
        mean[c] = static_cast<float>(all.mean);
        gain[c] = static_cast<float>(inverse * static_cast<double>(scale));
        shift[c] = args.shift.empty() ? 0.0f : args.shift.Data<float>()[c];
      }
    }
  }
}

template <class T>
T* AtLeast(std::vector<T>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(static_cast<size_t>(size));
  return buffer.data();
}

}  // namespace

void GroupNorm(Context&, const GroupNormArgs& args) {
  constexpr int64_t kElementsABlock = 32768;
  thread_local std::vector<Moments> moment_buffer;
  thread_local std::vector<float> term_buffer;
  const Shape& s = args.x.shape;
  const int64_t channels = s[3];
  const Blocks blocks = {.pixels = s[1] * s[2],
                         .grain = std::max<int64_t>(1, kElementsABlock / channels)};
  const int64_t count = s[0] * blocks.a_picture;
  Moments* moments = AtLeast(moment_buffer, count * args.groups);
  float* terms = AtLeast(term_buffer, s[0] * 3 * Padded(channels));
  ParallelFor(count, [&](int64_t i) {
    const Block block = blocks[i];
    Scratch scratch(2 * Padded(channels));
    float* sums = scratch.Take(channels);
    float* means = scratch.Take(channels);
    HWY_DYNAMIC_DISPATCH(AnyBlockMoments)
    (args.x, block.first, block.count, args.groups, sums, means, moments + i * args.groups);
  });
  FillTerms(args, blocks, moments, terms);
  ParallelFor(count, [&](int64_t i) {
    const Block block = blocks[i];
    const float* mean = terms + block.b * 3 * Padded(channels);
    HWY_DYNAMIC_DISPATCH(AnyNormalise)
    (args, block.first, block.count, {mean, mean + Padded(channels), mean + 2 * Padded(channels)});
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
