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

}  // namespace

void Deviation(Context& /*ctx*/, const DeviationArgs& args) {
  const int64_t size = args.x.numel() / args.x.shape[0];
  const auto count = static_cast<double>(size);
  for (size_t b = 0; b < args.deviations.size(); ++b) {
    const float* x = args.x.Data<float>() + static_cast<int64_t>(b) * size;
    const Powers sum = Sum<Powers>(size, [&](int64_t i) {
      const double value = x[i];
      return Powers{value, value * value};
    });
    const double mean = sum.first / count;
    args.deviations[b] = std::sqrt(std::max(0.0, sum.second / count - mean * mean));
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
