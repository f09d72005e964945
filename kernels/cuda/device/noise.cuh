// Two normal numbers of a weighted sum of streams.
#pragma once

#include "kernels/core/rng.h"
#include "kernels/cuda/device/numbers.cuh"
#include "kernels/noise.h"

namespace gesso::cuda {

// i counts pairs; an odd number of elements ends with half of one.
struct NormalPairElement {
  uint64_t seed;
  float* out;
  int64_t elements;
  int count = 0;  // of terms
  float weights[kMostNormalTerms];
  uint64_t streams[kMostNormalTerms];

  explicit NormalPairElement(const DrawNormalArgs& args)
      : seed(args.seed), out(static_cast<float*>(args.out.data)), elements(args.out.numel()) {
    for (const NormalTerm& term : args.terms) {
      weights[count] = term.weight;
      streams[count++] = term.stream;
    }
  }

  GESSO_BOTH void operator()(int64_t i) const {
    constexpr double kTurn = 6.283185307179586;
    float first = 0;
    float second = 0;
    for (int t = 0; t < count; ++t) {
      const auto words = RandomBlock(seed, streams[t], static_cast<uint64_t>(i));
      const double radius = sqrt(-2.0 * log1p(-ToUniform(words[0], words[1])));
      const double angle = kTurn * ToUniform(words[2], words[3]);
      first += weights[t] * static_cast<float>(radius * cos(angle));
      second += weights[t] * static_cast<float>(radius * sin(angle));
    }
    out[2 * i] = first;
    if (2 * i + 1 < elements) out[2 * i + 1] = second;
  }
};

}  // namespace gesso::cuda
