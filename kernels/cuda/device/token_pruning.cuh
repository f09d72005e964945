// Which tokens of a map matter, a token or channel at a time.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/token_pruning.h"

namespace gesso::cuda {

// means[b, c] over the tokens of x [B, N, C]; i = b * C + c.
struct TokenMeanElement {
  const float* x;
  float* means;
  int64_t tokens, channels;

  GESSO_BOTH void operator()(int64_t i) const {
    const float* from = x + i / channels * tokens * channels + i % channels;
    float sum = 0;
    for (int64_t n = 0; n < tokens; ++n) sum += from[n * channels];
    means[i] = sum / static_cast<float>(tokens);
  }
};

// row = b * N + n
struct TokenDistanceRow {
  const float* x;
  const float* means;  // [B, C]
  float* score;
  int64_t tokens, channels;

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    const float* mean = means + row / tokens * channels;
    float sum = 0;
    for (int64_t c = lanes.index(); c < channels; c += lanes.count()) {
      const float difference = x[row * channels + c] - mean[c];
      sum += difference * difference;
    }
    sum = lanes.Sum(sum);
    if (lanes.index() == 0) score[row] = sum;
  }
};

// ranks[b, i] = how many tokens score higher than token i.
struct TokenRankElement {
  const float* score;
  int32_t* ranks;
  int64_t tokens;

  GESSO_BOTH void operator()(int64_t i) const {
    const float* scores = score + i / tokens * tokens;
    const auto token = static_cast<int32_t>(i % tokens);
    int32_t rank = 0;
    for (int32_t j = 0; j < tokens; ++j) rank += ScoresHigher(scores, j, token) ? 1 : 0;
    ranks[i] = rank;
  }
};

// Writes token i, if it is among the `kept` highest, to its place in ids [B, kept].
struct TopTokenElement {
  const int32_t* ranks;
  int32_t* ids;
  int64_t tokens, kept;
  bool by_score;

  GESSO_BOTH void operator()(int64_t i) const {
    const int32_t* of_picture = ranks + i / tokens * tokens;
    const int64_t token = i % tokens;
    if (of_picture[token] >= kept) return;
    int64_t place = of_picture[token];
    if (!by_score) {
      place = 0;
      for (int64_t j = 0; j < token; ++j) place += of_picture[j] < kept ? 1 : 0;
    }
    ids[i / tokens * kept + place] = static_cast<int32_t>(token);
  }
};

}  // namespace gesso::cuda
