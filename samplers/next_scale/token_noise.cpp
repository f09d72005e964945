#include "samplers/next_scale/token_noise.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/core/rng.h"

namespace gesso {

namespace {

// Streams of a seed's random numbers, apart from those of diffusion (samplers/noise.cpp).
constexpr uint64_t kUniformStream = uint64_t{1} << 61;
constexpr uint64_t kGumbelStream = kUniformStream + 1;

void CheckRecorded(const Tensor& recorded, int rank, int64_t pictures, int64_t end,
                   std::string_view what) {
  Require(recorded.shape().rank() == rank && recorded.dtype() == DType::kF32 &&
              recorded.shape()[0] == pictures && end <= recorded.shape()[1],
          ErrorKind::kShape, "recorded {} {} do not reach to choice {} of {} pictures", what,
          recorded.shape(), end, pictures);
}

}  // namespace

void PhiloxTokenNoise::Uniforms(int64_t first, std::span<double> out) const {
  const auto count = static_cast<int64_t>(out.size() / seeds_.size());
  ParallelRange(static_cast<int64_t>(out.size()), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      out[static_cast<size_t>(i)] =
          UniformAt(seeds_[static_cast<size_t>(i / count)], kUniformStream,
                    static_cast<uint64_t>(first + i % count));
    }
  });
}

void PhiloxTokenNoise::Gumbel(int64_t first, View out) const {
  CHECK(out.shape[0] == static_cast<int64_t>(seeds_.size()));
  const int64_t count = out.shape[1];
  const int64_t values = out.shape[2];
  ParallelFor(out.shape[0] * count, [&](int64_t row) {
    const uint64_t seed = seeds_[static_cast<size_t>(row / count)];
    const auto start = static_cast<uint64_t>((first + row % count) * values);
    float* to = out.Data<float>() + row * values;
    for (int64_t v = 0; v < values; ++v) {
      const double uniform = UniformAt(seed, kGumbelStream, start + static_cast<uint64_t>(v));
      // Away from 0, whose logarithm is not finite.
      to[v] = static_cast<float>(-std::log(-std::log1p(-std::max(uniform, 0x1p-54))));
    }
  });
}

void ReplayTokenNoise::Uniforms(int64_t first, std::span<double> out) const {
  const int64_t pictures = uniforms_.empty() ? 1 : uniforms_.shape()[0];
  const auto count = static_cast<int64_t>(out.size()) / pictures;
  CheckRecorded(uniforms_, 2, pictures, first + count, "uniform numbers");
  const int64_t length = uniforms_.shape()[1];
  for (int64_t b = 0; b < pictures; ++b) {
    std::copy_n(uniforms_.Data<float>() + b * length + first, count, out.begin() + b * count);
  }
}

void ReplayTokenNoise::Gumbel(int64_t first, View out) const {
  const int64_t count = out.shape[1];
  CheckRecorded(gumbel_, 3, out.shape[0], first + count, "Gumbel noise");
  Require(gumbel_.shape()[2] == out.shape[2], ErrorKind::kShape,
          "recorded Gumbel noise {} does not fit {} values", gumbel_.shape(), out.shape[2]);
  const int64_t length = gumbel_.shape()[1];
  const int64_t values = out.shape[2];
  for (int64_t b = 0; b < out.shape[0]; ++b) {
    std::copy_n(gumbel_.Data<float>() + (b * length + first) * values, count * values,
                out.Data<float>() + b * count * values);
  }
}

}  // namespace gesso
