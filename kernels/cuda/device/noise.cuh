// Two elements of a linear combination with noise, whose normal numbers come in pairs.
#pragma once

#include <algorithm>

#include "kernels/core/rng.h"
#include "kernels/cuda/device/pointwise.cuh"

namespace gesso::cuda {

// i counts pairs of elements of `pictures` pictures, the first of which is number `first`; in one
// of an odd size the last element is alone.
struct NoisyCombinationPair {
  static constexpr int64_t kMostPictures = 64;  // of one launch
  LinearCombinationElement sums;
  int64_t first, pictures, size;  // of a picture: elements
  Divisor pairs;                  // of a picture
  uint64_t seeds[kMostPictures];
  float coefficient;
  int count = 0;  // of streams
  float weights[kMostNormalTerms];
  uint64_t streams[kMostNormalTerms];

  NoisyCombinationPair(const LinearCombinationArgs& args, int64_t first_picture)
      : sums(args),
        first(first_picture),
        pictures(std::min(args.out.shape[0] - first, kMostPictures)),
        size(args.out.numel() / args.out.shape[0]),
        pairs((size + 1) / 2),
        coefficient(args.noise.coefficient) {
    for (int64_t b = 0; b < pictures; ++b) {
      seeds[b] = args.noise.seeds[static_cast<size_t>(first + b)];
    }
    for (const NormalTerm& stream : args.noise.streams) {
      weights[count] = stream.weight;
      streams[count++] = stream.stream;
    }
  }

  int64_t Pairs() const { return pictures * pairs; }

  GESSO_BOTH void operator()(int64_t i) const {
    constexpr double kTurn = 6.283185307179586;
    const int64_t picture = i / pairs;
    const int64_t pair = i % pairs;
    float one = 0;
    float two = 0;
    for (int t = 0; t < count; ++t) {
      const auto words = RandomBlock(seeds[picture], streams[t], static_cast<uint64_t>(pair));
      const double radius = sqrt(-2.0 * log1p(-ToUniform(words[0], words[1])));
      const double angle = kTurn * ToUniform(words[2], words[3]);
      double sine = 0;
      double cosine = 0;
      sincos(angle, &sine, &cosine);
      one += weights[t] * static_cast<float>(radius * cosine);
      two += weights[t] * static_cast<float>(radius * sine);
    }
    const int64_t at = (first + picture) * size + 2 * pair;
    sums.AddUp<1>(at, {{coefficient * one}});
    if (2 * pair + 1 < size) sums.AddUp<1>(at + 1, {{coefficient * two}});
  }
};

}  // namespace gesso::cuda
