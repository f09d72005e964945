// Bringing the standard deviation of pictures towards that of others, in three passes: sums of
// parts of both, a factor a picture, the product with it.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/reduce.h"

namespace gesso::cuda {

struct MatchDeviationBody {
  static constexpr int64_t kParts = 32;  // of a picture
  const float* reference;
  float* x;
  int64_t pictures, size;  // B, elements of a picture
  float share;
  float* sums = nullptr;     // [2, B, kParts, 2]: of reference and x, of values and their squares
  float* factors = nullptr;  // [B]

  explicit MatchDeviationBody(const MatchDeviationArgs& args)
      : reference(static_cast<const float*>(args.reference.data)),
        x(static_cast<float*>(args.x.data)),
        pictures(args.x.shape[0]),
        size(args.x.numel() / args.x.shape[0]),
        share(static_cast<float>(args.share)) {}

  int64_t Parts() const { return 2 * pictures * kParts; }
  int64_t ScratchFloats() const { return 2 * Parts() + pictures; }
  void UseScratch(float* memory) {
    sums = memory;
    factors = memory + 2 * Parts();
  }
};

// A part of a picture of either tensor; row = (tensor * B + picture) * kParts + part.
struct DeviationPartRow {
  MatchDeviationBody body;

  template <class Lanes>
  GESSO_BOTH void operator()(int64_t row, const Lanes& lanes) const {
    constexpr int64_t kParts = MatchDeviationBody::kParts;
    const int64_t picture = row / kParts % body.pictures;
    const float* const from =
        (row / kParts < body.pictures ? body.reference : body.x) + picture * body.size;
    const int64_t end = body.size * (row % kParts + 1) / kParts;
    double sum = 0;
    double square = 0;
    for (int64_t i = body.size * (row % kParts) / kParts + lanes.index(); i < end;
         i += lanes.count()) {
      const double value = from[i];
      sum += value;
      square += value * value;
    }
    const float total = lanes.Sum(static_cast<float>(sum));
    const float squares = lanes.Sum(static_cast<float>(square));
    if (lanes.index() != 0) return;
    body.sums[2 * row] = total;
    body.sums[2 * row + 1] = squares;
  }
};

// i counts pictures.
struct DeviationFactorElement {
  MatchDeviationBody body;

  GESSO_BOTH void operator()(int64_t i) const {
    const double present = Deviation(body.pictures + i);
    const double ratio = present > 0 ? Deviation(i) / present : 1;
    body.factors[i] = static_cast<float>(body.share * ratio + (1 - body.share));
  }

 private:
  GESSO_BOTH double Deviation(int64_t picture) const {
    double sum = 0;
    double square = 0;
    for (int64_t part = 0; part < MatchDeviationBody::kParts; ++part) {
      const float* const of = body.sums + 2 * (picture * MatchDeviationBody::kParts + part);
      sum += of[0];
      square += of[1];
    }
    const auto count = static_cast<double>(body.size);
    const double mean = sum / count;
    const double variance = square / count - mean * mean;
    return variance > 0 ? sqrt(variance) : 0;
  }
};

// i counts the elements of x.
struct DeviationScaleElement {
  MatchDeviationBody body;

  GESSO_BOTH void operator()(int64_t i) const { body.x[i] *= body.factors[i / body.size]; }
};

}  // namespace gesso::cuda
