#include "kernels/ref/reduce.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/core/parallel.h"

namespace gesso::ref {

namespace {

// A sum is cut into at most kMaxParts parts by its length alone, so that its order is always the
// same.
constexpr int64_t kMaxParts = 32;
constexpr int64_t kMinPartLength = 8192;

// Sum of term(i) over i < count; T needs +=.
template <class T, class TermAt>
T Sum(int64_t count, const TermAt& term) {
  std::array<T, kMaxParts> sums{};
  const int64_t parts = std::clamp<int64_t>(count / kMinPartLength, 1, kMaxParts);
  ParallelFor(parts, [&](int64_t part) {
    T sum{};
    for (int64_t i = count * part / parts; i < count * (part + 1) / parts; ++i) sum += term(i);
    sums[static_cast<size_t>(part)] = sum;
  });
  T total{};
  for (const T& sum : sums) total += sum;
  return total;
}

struct Powers {
  double first = 0;
  double second = 0;
  Powers& operator+=(const Powers& other) {
    first += other.first;
    second += other.second;
    return *this;
  }
};

double Deviation(const float* x, int64_t count) {
  const Powers sum = Sum<Powers>(count, [&](int64_t i) {
    const double value = x[i];
    return Powers{value, value * value};
  });
  const auto size = static_cast<double>(count);
  const double mean = sum.first / size;
  return std::sqrt(std::max(0.0, sum.second / size - mean * mean));
}

}  // namespace

void MatchDeviation(Context& /*ctx*/, const MatchDeviationArgs& args) {
  const int64_t pictures = args.x.shape[0];
  const int64_t size = args.x.numel() / pictures;
  for (int64_t b = 0; b < pictures; ++b) {
    float* const x = args.x.Data<float>() + b * size;
    const double wanted = Deviation(args.reference.Data<float>() + b * size, size);
    const double present = Deviation(x, size);
    const double ratio = present > 0 ? wanted / present : 1;
    const auto factor = static_cast<float>(args.share * ratio + (1 - args.share));
    ParallelRange(size, kMinPartLength, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) x[i] *= factor;
    });
  }
}

void ScaledError(Context& /*ctx*/, const ScaledErrorArgs& args) {
  const auto* a = args.a.Data<float>();
  const auto* b = args.b.Data<float>();
  const auto* reference = args.reference.Data<float>();
  const double sum = Sum<double>(args.a.numel(), [&](int64_t i) {
    const double size = std::max(std::abs(a[i]), std::abs(reference[i]));
    const double error = (static_cast<double>(a[i]) - static_cast<double>(b[i])) /
                         std::max(args.absolute, args.relative * size);
    return error * error;
  });
  *args.rms = std::sqrt(sum / static_cast<double>(args.a.numel()));
}

}  // namespace gesso::ref
