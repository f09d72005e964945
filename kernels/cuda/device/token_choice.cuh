// Filtering a row of logits by top-k and top-p and choosing a token, by bisection: no sorting, no
// memory of its own, any size of a vocabulary.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/sample.h"

namespace gesso::cuda {

// Whole numbers that are in order as the floats are. -0 and 0 are one, as they are to comparisons.
GESSO_BOTH uint32_t OrderOf(float x) {
  const uint32_t bits = FloatToBits(x == 0 ? 0.0f : x);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
GESSO_BOTH float FromOrder(uint32_t order) {
  return BitsToFloat((order >> 31) != 0 ? order & 0x7fffffffu : ~order);
}

// Shares of the softmax are counted in whole units, of which there are less than 2^63 in a row:
// their sums are exact, whatever lanes add them up in whatever order.
struct SampleTokensRow {
  float* logits;
  const double* uniforms = nullptr;  // in memory of the device
  int32_t* tokens;
  int64_t width, top_k;
  double top_p;
  int index_bits = 0;  // that an index has
  double most_units;   // of a single logit

  explicit SampleTokensRow(const SampleTokensArgs& args)
      : logits(static_cast<float*>(args.logits.data)),
        tokens(static_cast<int32_t*>(args.tokens.data)),
        width(args.logits.shape[1]),
        top_k(args.top_k),
        top_p(args.top_p) {
    while (width > int64_t{1} << index_bits) ++index_bits;
    most_units = std::ldexp(1.0, 61 - index_bits);
  }

  static bool TakesAWarp(int64_t width) { return width <= 512; }

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    Row<Lanes> work{*this, lanes, logits + row * width, -INFINITY};
    float broken = 0;
    for (int64_t i = lanes.index(); i < width; i += lanes.count()) {
      if (!(work.logits[i] < INFINITY)) broken = 1;
      work.largest = fmaxf(work.largest, work.logits[i]);
    }
    broken = lanes.Max(broken);
    work.largest = lanes.Max(work.largest);
    int32_t token = kNoToken;
    if (broken == 0 && work.largest > -INFINITY) {
      if (top_k > 0 && top_k < width) work.KeepLargest();
      if (top_p > 0) work.KeepLikely();
      token = work.Draw(uniforms[row]);
    }
    if (lanes.index() == 0) tokens[row] = token;
  }

 private:
  // A lane sees the same elements every time, so that none needs to wait for what others write.
  template <class Lanes>
  struct Row {
    const SampleTokensRow& body;
    const Lanes& lanes;
    float* logits;
    float largest;

    // What is left weighs 1 unit at least, however unlikely it is.
    GESSO_BOTH uint64_t UnitsOf(float logit) const {
      if (logit == -INFINITY) return 0;
      const double share = exp(static_cast<double>(logit) - static_cast<double>(largest));
      if (share == 0) return 0;
      const auto units = static_cast<uint64_t>(share * body.most_units);
      return units > 0 ? units : 1;
    }
    GESSO_BOTH uint64_t Total() const {
      uint64_t sum = 0;
      for (int64_t i = lanes.index(); i < body.width; i += lanes.count()) {
        sum += UnitsOf(logits[i]);
      }
      return lanes.Sum(sum);
    }
    // The most units that are no more than `share` of the total, and fewer than all.
    GESSO_BOTH static uint64_t BoundOf(double share, uint64_t total) {
      const auto bound = static_cast<uint64_t>(share * static_cast<double>(total));
      return bound < total ? bound : total - 1;
    }
    GESSO_BOTH void Drop(int64_t i) const { logits[i] = -INFINITY; }

    struct Place {
      uint32_t at;
      uint64_t before;  // the sum of the weights at lower places
    };
    // The first place up to which the weights sum up to more than `bound`, which all of them do.
    // weight_of is asked for few elements only; places have `bits` bits.
    template <class PlaceOf, class WeightOf>
    GESSO_BOTH Place Find(int bits, uint64_t bound, const PlaceOf& place_of,
                          const WeightOf& weight_of) const {
      Place begin{0, 0};
      for (int bit = bits - 1; bit >= 0; --bit) {
        const uint32_t middle = begin.at + (1u << bit);
        uint64_t sum = 0;
        for (int64_t i = lanes.index(); i < body.width; i += lanes.count()) {
          const uint32_t place = place_of(i);
          if (place >= begin.at && place < middle) sum += weight_of(i);
        }
        sum = begin.before + lanes.Sum(sum);
        if (sum <= bound) begin = {middle, sum};
      }
      return begin;
    }

    GESSO_BOTH void KeepLargest() const {
      const auto order = [&](int64_t i) { return OrderOf(logits[i]); };
      const auto one = [](int64_t) { return uint64_t{1}; };
      const uint32_t least =
          Find(32, static_cast<uint64_t>(body.width - body.top_k), order, one).at;
      for (int64_t i = lanes.index(); i < body.width; i += lanes.count()) {
        if (order(i) < least) Drop(i);
      }
    }

    GESSO_BOTH void KeepLikely() const {
      const auto order = [&](int64_t i) { return OrderOf(logits[i]); };
      const auto units = [&](int64_t i) { return UnitsOf(logits[i]); };
      const uint64_t bound = BoundOf(1 - body.top_p, Total());
      const Place least = Find(32, bound, order, units);
      // Of those that are equal the first ones go, as far as they can be paid for.
      const uint64_t dropped = (bound - least.before) / UnitsOf(FromOrder(least.at));
      const auto is_least = [&](int64_t i) { return uint64_t{order(i) == least.at ? 1u : 0u}; };
      const auto index = [](int64_t i) { return static_cast<uint32_t>(i); };
      const uint32_t first = dropped == 0 ? 0 : Find(body.index_bits, dropped, index, is_least).at;
      for (int64_t i = lanes.index(); i < body.width; i += lanes.count()) {
        const uint32_t place = order(i);
        if (place < least.at || (place == least.at && index(i) < first)) Drop(i);
      }
    }

    GESSO_BOTH int32_t Draw(double uniform) const {
      const auto index = [](int64_t i) { return static_cast<uint32_t>(i); };
      const auto units = [&](int64_t i) { return UnitsOf(logits[i]); };
      return static_cast<int32_t>(
          Find(body.index_bits, BoundOf(uniform, Total()), index, units).at);
    }
  };
};

}  // namespace gesso::cuda
