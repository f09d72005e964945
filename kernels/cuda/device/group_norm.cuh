// Groups of channels of a picture. A small group is a block's, which keeps it in registers. Large
// pictures are cut into strips of pixels with all their channels, so that memory is read in order:
// GroupStripMoments takes the moments of each group in each strip, GroupMomentsRow those of the
// whole groups, and GroupNormStrip normalises.
#pragma once

#include "kernels/cuda/device/divisor.cuh"
#include "kernels/cuda/device/quads.cuh"
#include "kernels/group_norm.h"

namespace gesso::cuda {

constexpr int kGroupQuads = 8;  // of a lane, of a group in registers

template <int kQuads>
GESSO_BOTH void Activate(Activation activation, Quads<kQuads>& numbers) {
  ActivateBy(activation, [&](const auto& activated) {
    numbers.ForEach([&](float& number, int, int) { number = activated(number); });
  });
}

// One group of one picture of GroupNorm [B, P, C]; row = b * groups + group.
struct GroupNormRow {
  Numbers x, out, scale, shift;
  int64_t pixels, channels;  // P, C
  Divisor groups, size;      // C / groups
  float eps;
  Activation activation;

  explicit GroupNormRow(const GroupNormArgs& args)
      : x(args.x),
        out(args.out),
        scale(args.scale),
        shift(args.shift),
        pixels(args.x.shape[1] * args.x.shape[2]),
        channels(args.x.shape[3]),
        groups(args.groups),
        size(args.x.shape[3] / args.groups),
        eps(args.eps),
        activation(args.activation) {}

  bool HasQuadsOfChannels() const {
    return HasQuads(x, channels) && HasQuads(out) && HasQuads(scale) && HasQuads(shift);
  }

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t first = row % groups * size;
    const int64_t begin = row / groups * pixels * channels + first;
    const auto count = static_cast<float>(pixels * size);
    const auto at = [&](int64_t i) { return begin + i / size * channels + i % size; };
    float sum = 0;
    for (int64_t i = lanes.index(); i < pixels * size; i += lanes.count()) sum += x.Get(at(i));
    const float mean = lanes.Sum(sum) / count;
    float square = 0;
    for (int64_t i = lanes.index(); i < pixels * size; i += lanes.count()) {
      const float difference = x.Get(at(i)) - mean;
      square += difference * difference;
    }
    const float factor = 1 / sqrtf(lanes.Sum(square) / count + eps);
    for (int64_t i = lanes.index(); i < pixels * size; i += lanes.count()) {
      const int64_t c = first + i % size;
      const float gain = scale.GetOr(c, 1) * factor;
      out.Set(at(i), Activated(activation, (x.Get(at(i)) - mean) * gain + shift.GetOr(c, 0)));
    }
  }
};

// The same in registers.
struct GroupNormQuads : GroupNormRow {
  Divisor quads;  // of a pixel's channels in a group

  explicit GroupNormQuads(const GroupNormRow& row) : GroupNormRow(row), quads(size.value / kQuad) {}

  // Whether `lanes` of them do for a group.
  static bool Accepts(const GroupNormRow& row, int lanes) {
    return row.HasQuadsOfChannels() && row.size.value % kQuad == 0 &&
           row.pixels * row.size <= int64_t{lanes} * kGroupQuads * kQuad;
  }

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const int64_t first = row % groups * size;
    const int64_t begin = row / groups * pixels * channels + first;
    const Places of_channels(*this, lanes, 0);
    const Places places(*this, lanes, static_cast<int>(channels));
    const auto gains = GetFloatQuadsOr<kGroupQuads>(scale, first, of_channels, 1);
    const auto offsets = GetFloatQuadsOr<kGroupQuads>(shift, first, of_channels, 0);
    auto numbers = GetQuads<kGroupQuads>(x, begin, places);
    const float share = 1 / static_cast<float>(places.count * kQuad);
    float sum = 0;
    numbers.ForEach([&](float number, int, int) { sum += number; });
    const float mean = lanes.Sum(sum) * share;
    float square = 0;
    numbers.ForEach([&](float& number, int i, int) {
      number = places.Has(i) ? number - mean : 0;
      square += number * number;
    });
    const float factor = InverseRoot(lanes.Sum(square) * share + eps);
    numbers.ForEach([&](float& number, int i, int k) {
      number = number * (gains.at[i][k] * factor) + offsets.at[i][k];
    });
    Activate(activation, numbers);
    SetQuads(out, begin, places, numbers);
  }

 private:
  // Quads of a group, pixel by pixel; `pixel_stride` from pixel to pixel.
  struct Places {
    const GroupNormQuads& norm;
    int first, step, count, pixel_stride;

    template <class Lanes>
    GESSO_BOTH Places(const GroupNormQuads& of, const Lanes& lanes, int stride)
        : norm(of),
          first(lanes.index()),
          step(lanes.count()),
          count(static_cast<int>(of.pixels * of.size / kQuad)),
          pixel_stride(stride) {}
    GESSO_BOTH int At(int i) const {
      const int64_t quad = first + i * step;
      return static_cast<int>(quad / norm.quads * pixel_stride + quad % norm.quads * kQuad);
    }
    GESSO_BOTH bool Has(int i) const { return first + i * step < count; }
  };
};

constexpr int kGroupNormThreads = 256;  // at most, of a block
constexpr int kGroupNormBlocks = 4;     // that a multiprocessor holds at once
constexpr int kStripQuads = 4;          // that a thread reads at once

// How pictures are cut into strips, and what a block's threads do: each has a quad of channels of
// every rows-th pixel.
struct GroupNormStrips {
  int64_t pixels;  // of each strip but the last
  Divisor count;   // of a picture
  int quads, rows;

  // Two turns of as many blocks as the device holds, fewer where threads had too little to do.
  GroupNormStrips(int64_t pictures, int64_t all_pixels, int64_t channels, int multiprocessors)
      : quads(static_cast<int>(channels / kQuad)), rows(kGroupNormThreads / quads) {
    const auto least = int64_t{rows} * kStripQuads;
    const int64_t blocks = int64_t{2} * kGroupNormBlocks * multiprocessors;
    const int64_t most = blocks > pictures ? blocks / pictures : 1;
    const int64_t each = (all_pixels + most - 1) / most;
    pixels = (each + least - 1) / least * least;
    count = (all_pixels + pixels - 1) / pixels;
  }

  static bool Accepts(const GroupNormRow& row) {
    return row.HasQuadsOfChannels() && row.channels <= int64_t{kGroupNormThreads} * kQuad;
  }
  int Threads() const { return (quads * rows + kWarp - 1) / kWarp * kWarp; }
};

// Of one group, in a strip: the mean and the sum of squares about it; as a whole: the mean and
// 1 / sqrt(variance + eps).
struct alignas(8) GroupMoments {
  float mean, spread;
};

// What the blocks of both passes over memory share.
struct GroupStripBlock : GroupNormRow {
  GroupNormStrips strips;
  int64_t pictures;

  GroupStripBlock(const GroupNormArgs& args, const GroupNormStrips& cut)
      : GroupNormRow(args), strips(cut), pictures(args.x.shape[0]) {}

  int64_t Blocks() const { return pictures * strips.count; }

 protected:
  struct Strip {
    int64_t picture, strip, begin, pixels;

    GESSO_BOTH Strip(const GroupStripBlock& all, int64_t block)
        : picture(block / all.strips.count), strip(block % all.strips.count) {
      const int64_t first = strip * all.strips.pixels;
      const int64_t left = all.pixels - first;
      begin = (picture * all.pixels + first) * all.channels;
      pixels = left < all.strips.pixels ? left : all.strips.pixels;
    }
  };

  // A thread's part of a strip: kStripQuads at once.
  struct Thread {
    int row, channel;

    GESSO_BOTH Thread(const GroupNormStrips& strips, int thread)
        : row(thread / strips.quads), channel(thread % strips.quads * kQuad) {}
  };

  // body(places) for all kStripQuads that a thread reads at once, from channel `thread.channel` of
  // the strip's first pixel on.
  template <class Body>
  GESSO_BOTH void ForEachQuads(const Strip& strip, const Thread& thread, const Body& body) const {
    const int a_pixel = static_cast<int>(channels);
    for (int64_t first = thread.row; first < strip.pixels; first += strips.rows * kStripQuads) {
      body(first * a_pixel, QuadPlaces(0, strips.rows * a_pixel, (strip.pixels - first) * a_pixel));
    }
  }
};

struct GroupStripMoments : GroupStripBlock {
  GroupMoments* parts;  // [B, groups, strips]

  GroupStripMoments(const GroupNormArgs& args, const GroupNormStrips& cut, GroupMoments* to)
      : GroupStripBlock(args, cut), parts(to) {}

  size_t SharedBytes() const {
    return static_cast<size_t>(2 * strips.rows * channels) * sizeof(float);
  }

  // shared: SharedBytes()
  template <class Threads>
  GESSO_BOTH void operator()(int64_t block, Threads& threads, void* shared) const {
    const Strip strip(*this, block);
    auto* const sums = static_cast<float*>(shared);       // [rows, C]
    auto* const squares = sums + strips.rows * channels;  // like sums
    threads.ForEach([&](int t) {
      if (t < strips.rows * strips.quads) AddUp(strip, Thread(strips, t), sums, squares);
    });
    threads.Barrier();
    threads.ForEach([&](int t) {
      for (int64_t c = t; c < channels; c += threads.count()) {
        for (int row = 1; row < strips.rows; ++row) {
          sums[c] += sums[row * channels + c];
          squares[c] += squares[row * channels + c];
        }
      }
    });
    threads.Barrier();
    threads.ForEach([&](int t) {
      for (int64_t group = t; group < groups; group += threads.count()) {
        parts[(strip.picture * groups + group) * strips.count + strip.strip] =
            MomentsOf(strip, group, sums, squares);
      }
    });
    threads.Barrier();  // before the next block overwrites the sums
  }

 private:
  // What numbers of a group are taken from so that their squares do not cancel: one of them.
  GESSO_BOTH float PivotOf(const Strip& strip, int64_t group) const {
    return x.Get(strip.begin + group * size);
  }

  GESSO_BOTH void AddUp(const Strip& strip, const Thread& thread, float* sums,
                        float* squares) const {
    float pivot[kQuad];
    GESSO_UNROLL for (int k = 0; k < kQuad; ++k) {
      pivot[k] = PivotOf(strip, int64_t{thread.channel + k} / size);
    }
    float sum[kQuad] = {};
    float square[kQuad] = {};
    ForEachQuads(strip, thread, [&](int64_t from, const QuadPlaces& places) {
      auto numbers = GetQuads<kStripQuads>(x, strip.begin + thread.channel + from, places);
      numbers.ForEach([&](float number, int i, int k) {
        const float difference = places.Has(i) ? number - pivot[k] : 0;
        sum[k] += difference;
        square[k] += difference * difference;
      });
    });
    GESSO_UNROLL for (int k = 0; k < kQuad; ++k) {
      sums[thread.row * channels + thread.channel + k] = sum[k];
      squares[thread.row * channels + thread.channel + k] = square[k];
    }
  }

  GESSO_BOTH GroupMoments MomentsOf(const Strip& strip, int64_t group, const float* sums,
                                    const float* squares) const {
    float sum = 0;
    float square = 0;
    for (int64_t c = group * size; c < (group + 1) * size; ++c) {
      sum += sums[c];
      square += squares[c];
    }
    const float mean = sum / static_cast<float>(strip.pixels * size);
    return {PivotOf(strip, group) + mean, fmaxf(square - sum * mean, 0)};
  }
};

// Of a whole group; row = b * groups + group. Chan et al. 1979, "Updating Formulae and a Pairwise
// Algorithm for Computing Sample Variances".
struct GroupMomentsRow {
  const GroupMoments* parts;  // [B, groups, strips]
  GroupMoments* moments;      // [B, groups]
  GroupNormStrips strips;
  int64_t pixels, size;
  float eps;

  GroupMomentsRow(const GroupNormRow& row, const GroupNormStrips& cut, const GroupMoments* from,
                  GroupMoments* to)
      : parts(from), moments(to), strips(cut), pixels(row.pixels), size(row.size), eps(row.eps) {}

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const GroupMoments* const own = parts + row * strips.count;
    const auto all = static_cast<float>(pixels * size);
    float sum = 0;
    for (int64_t i = lanes.index(); i < strips.count; i += lanes.count()) {
      sum += own[i].mean * CountOf(i);
    }
    const float mean = lanes.Sum(sum) / all;
    float spread = 0;
    for (int64_t i = lanes.index(); i < strips.count; i += lanes.count()) {
      const float difference = own[i].mean - mean;
      spread += own[i].spread + difference * difference * CountOf(i);
    }
    const float variance = lanes.Sum(spread) / all;
    if (lanes.index() == 0) moments[row] = {mean, InverseRoot(variance + eps)};
  }

 private:
  GESSO_BOTH float CountOf(int64_t strip) const {
    const int64_t left = pixels - strip * strips.pixels;
    return static_cast<float>((left < strips.pixels ? left : strips.pixels) * size);
  }
};

struct GroupNormStrip : GroupStripBlock {
  const GroupMoments* moments;  // [B, groups]

  GroupNormStrip(const GroupNormArgs& args, const GroupNormStrips& cut, const GroupMoments* of)
      : GroupStripBlock(args, cut), moments(of) {}

  template <class Threads>
  GESSO_BOTH void operator()(int64_t block, Threads& threads, void*) const {
    const Strip strip(*this, block);
    threads.ForEach([&](int t) {
      if (t < strips.rows * strips.quads) Normalize(strip, Thread(strips, t));
    });
  }

 private:
  GESSO_BOTH void Normalize(const Strip& strip, const Thread& thread) const {
    const QuadPlaces own(thread.channel, 0, channels);
    auto gains = GetFloatQuadsOr<1>(scale, 0, own, 1);
    const auto offsets = GetFloatQuadsOr<1>(shift, 0, own, 0);
    float mean[kQuad];
    gains.ForEach([&](float& gain, int, int k) {
      const int64_t group = int64_t{thread.channel + k} / size;
      const GroupMoments& of = moments[strip.picture * groups + group];
      mean[k] = of.mean;
      gain *= of.spread;
    });
    ForEachQuads(strip, thread, [&](int64_t from, const QuadPlaces& places) {
      const int64_t begin = strip.begin + thread.channel + from;
      auto numbers = GetQuads<kStripQuads>(x, begin, places);
      numbers.ForEach([&](float& number, int, int k) {
        number = (number - mean[k]) * gains.at[0][k] + offsets.at[0][k];
      });
      Activate(activation, numbers);
      SetQuads(out, begin, places, numbers);
    });
  }
};

}  // namespace gesso::cuda
