// Parts of the sum that ScaledError takes the root of.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/reduce.h"

namespace gesso::cuda {

// i = part: numbers i, i + parts, i + 2 parts, ... in that order, so that the sum is always the
// same.
struct ScaledErrorPart {
  static constexpr int64_t kMostParts = 8192;

  const float *a, *b, *reference;
  int64_t count, parts;
  double absolute, relative;
  double* sums = nullptr;  // [parts]

  explicit ScaledErrorPart(const ScaledErrorArgs& args)
      : a(static_cast<const float*>(args.a.data)),
        b(static_cast<const float*>(args.b.data)),
        reference(static_cast<const float*>(args.reference.data)),
        count(args.a.numel()),
        parts(count < kMostParts ? count : kMostParts),
        absolute(args.absolute),
        relative(args.relative) {}

  GESSO_BOTH void operator()(int64_t i) const {
    double sum = 0;
    for (int64_t at = i; at < count; at += parts) {
      const double size =
          fmax(fabs(static_cast<double>(a[at])), fabs(static_cast<double>(reference[at])));
      const double error = (static_cast<double>(a[at]) - static_cast<double>(b[at])) /
                           fmax(absolute, relative * size);
      sum += error * error;
    }
    sums[i] = sum;
  }

  // Of all parts, on the host.
  double RootMeanSquare(const double* all) const {
    double sum = 0;
    for (int64_t i = 0; i < parts; ++i) sum += all[i];
    return std::sqrt(sum / static_cast<double>(count));
  }
};

}  // namespace gesso::cuda
