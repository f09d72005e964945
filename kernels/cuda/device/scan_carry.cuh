// What chunks of a long sequence hand on: the state that each ends with, begun from zeros, becomes
// the state that the next one starts from. Gu & Dao 2023, "Mamba"; Dao & Gu 2024, "Transformers are
// SSMs", section 6.
#pragma once

#include "kernels/cuda/device/fragments.cuh"
#include "kernels/cuda/scan_plan.h"

namespace gesso::cuda {

struct ScanCarry {
  float* states = nullptr;  // [B, chunks, D, N]: ends, then starts; the last has no end
  float* exponents =
      nullptr;  // [B, chunks, D]: of 2, a chunk's decay, to be times the state's rate

  // Where those of a picture's chunk begin, in channels.
  GESSO_BOTH static int64_t Place(const ScanShape& shape, const ScanChunks& chunks, int64_t picture,
                                  int64_t chunk) {
    return (picture * chunks.count + chunk) * shape.channels;
  }
};

// Makes starts of the ends of one state's chunks; i counts [B, D, N]. Terms: shape, initial_state
// and Rate(channel, n).
template <class Terms>
struct ScanStartsElement {
  Terms terms;
  ScanChunks chunks;
  ScanCarry carry;

  GESSO_BOTH void operator()(int64_t i) const {
    constexpr int kAtOnce = 8;  // ends that are on their way together
    const int64_t states = terms.shape.states;
    const int64_t channel = i / states % terms.shape.channels;
    const int64_t n = i % states;
    const int64_t picture = i / states / terms.shape.channels;
    const float rate = terms.Rate(channel, n);
    float h = terms.initial_state.GetOr(i, 0);
    for (int64_t first = 0; first < chunks.count; first += kAtOnce) {
      float ends[kAtOnce], decays[kAtOnce];
      const int64_t place = ScanCarry::Place(terms.shape, chunks, picture, first) + channel;
      GESSO_UNROLL for (int k = 0; k < kAtOnce; ++k) {
        if (first + k + 1 >= chunks.count) break;  // the last has none
        const int64_t at = place + k * terms.shape.channels;
        ends[k] = carry.states[at * states + n];
        decays[k] = Exp2(rate * carry.exponents[at]);
      }
      GESSO_UNROLL for (int k = 0; k < kAtOnce; ++k) {
        if (first + k >= chunks.count) break;
        carry.states[(place + k * terms.shape.channels) * states + n] = h;
        if (first + k + 1 < chunks.count) h = decays[k] * h + ends[k];
      }
    }
  }
};

}  // namespace gesso::cuda
