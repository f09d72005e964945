#include "kernels/ref/causal_conv.h"

#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

// Channel d of picture b: what came before, then the sequence in the order in which it is read.
std::vector<double> Samples(const CausalConv1dArgs& args, int64_t b, int64_t d, int64_t before) {
  const int64_t length = args.x.shape[1];
  std::vector<double> samples(static_cast<size_t>(before + length), 0.0);
  if (!args.initial_state.empty()) {
    const int64_t kept = args.initial_state.shape[2];
    const float* state = args.initial_state.Data<float>() + (b * args.x.shape[2] + d) * kept;
    for (int64_t i = 0; i < before; ++i) {
      samples[static_cast<size_t>(i)] = static_cast<double>(state[kept - before + i]);
    }
  }
  for (int64_t t = 0; t < length; ++t) {
    const int64_t row = args.reverse ? length - 1 - t : t;
    samples[static_cast<size_t>(before + t)] =
        Load(args.x.data, args.x.dtype, b * args.x.strides[0] + row * args.x.strides[1] + d);
  }
  return samples;
}

}  // namespace

void CausalConv1d(Context&, const CausalConv1dArgs& args) {
  const Shape& s = args.x.shape;
  const int64_t taps = args.weight.shape[1];
  const int64_t kept = args.final_state.empty() ? 0 : args.final_state.shape[2];
  const int64_t before = std::max(taps - 1, kept);
  ParallelFor(s[0] * s[2], [&](int64_t channel) {
    const int64_t b = channel / s[2];
    const int64_t d = channel % s[2];
    const std::vector<double> samples = Samples(args, b, d, before);
    const float* weight = args.weight.Data<float>() + d * taps;
    for (int64_t t = 0; t < s[1]; ++t) {
      double sum = args.bias.empty() ? 0 : static_cast<double>(args.bias.Data<float>()[d]);
      for (int64_t k = 0; k < taps; ++k) {
        sum += static_cast<double>(weight[k]) *
               samples[static_cast<size_t>(before + t - (taps - 1) + k)];
      }
      const int64_t row = args.reverse ? s[1] - 1 - t : t;
      Store(args.out.data, args.out.dtype, (b * s[1] + row) * s[2] + d,
            Activate(args.activation, sum));
    }
    for (int64_t i = 0; i < kept; ++i) {
      const double sample = samples[static_cast<size_t>(before + s[1] - kept + i)];
      args.final_state.Data<float>()[channel * kept + i] = static_cast<float>(sample);
    }
  });
}

}  // namespace gesso::ref
