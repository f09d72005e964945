// BrownianNoise: a Brownian path over noise levels as a fixed tree of normal variables, of which a
// draw needs the few that its two ends depend on.
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>

#include "samplers/noise.h"

namespace gesso {

namespace {

// Leaves of the tree: 2^14 over 32 octaves, each 0.14% of its sigma wide.
constexpr int kDepth = 14;
constexpr double kLogLow = -16;  // log2 of the tree's ends
constexpr double kLogHigh = 16;

// Names of the normal variables, as streams of random numbers: tree nodes count in heap order from
// 1, single points are the bits of their level.
constexpr uint64_t kTreeBit = uint64_t{1} << 62;
constexpr uint64_t kLowEnd = kTreeBit | (uint64_t{1} << 32);
constexpr uint64_t kHighEnd = kLowEnd + 1;
constexpr uint64_t kPointBit = uint64_t{1} << 63;
// Above them, below the marks of what is not a path: the number of the path.
constexpr int kPathShift = 34;
constexpr int64_t kMaxPaths = int64_t{1} << 26;

// Variables with less weight than this in a draw of deviation 1 are left out.
constexpr double kNegligible = 1e-6;

// A weighted sum of independent unit normal variables.
class NormalSum {
 public:
  struct Item {
    uint64_t stream;
    double weight;
  };

  void Add(uint64_t stream, double weight) {
    for (size_t i = 0; i < size_; ++i) {
      if (items_[i].stream != stream) continue;
      items_[i].weight += weight;
      return;
    }
    CHECK(size_ < items_.size());
    items_[size_++] = {stream, weight};
  }
  void Add(const NormalSum& other, double factor) {
    for (const Item& item : other.items()) Add(item.stream, factor * item.weight);
  }
  std::span<const Item> items() const { return std::span(items_).first(size_); }
  double Deviation() const {
    double variance = 0;
    for (const Item& item : items()) variance += item.weight * item.weight;
    return std::sqrt(variance);
  }

 private:
  // Of each of two points: the tree's ends, a node a level, the point itself.
  std::array<Item, 2 * (kDepth + 3)> items_;
  size_t size_ = 0;
};

// A known point of the path.
struct PathPoint {
  double sigma;
  NormalSum value;
};

// The path at `sigma` between two known points: the straight line and a Brownian bridge's
// deviation.
PathPoint Bridge(const PathPoint& low, const PathPoint& high, double sigma, uint64_t stream) {
  const double share = (sigma - low.sigma) / (high.sigma - low.sigma);
  PathPoint point{.sigma = sigma, .value = {}};
  point.value.Add(low.value, 1 - share);
  point.value.Add(high.value, share);
  point.value.Add(stream, std::sqrt(share * (high.sigma - sigma)));
  return point;
}

NormalSum PathAt(double sigma) {
  Require(sigma >= 0 && sigma < std::exp2(kLogHigh), ErrorKind::kUsage,
          "Brownian noise is for noise levels from 0 to {}, not {}", std::exp2(kLogHigh), sigma);
  // Rounded, so that a level computed in two ways is one point.
  const auto rounded = static_cast<float>(sigma);
  PathPoint low{.sigma = 0, .value = {}};
  PathPoint high{.sigma = std::exp2(kLogLow), .value = {}};
  high.value.Add(kLowEnd, std::sqrt(high.sigma));
  if (rounded > high.sigma) {
    low = high;
    high.sigma = std::exp2(kLogHigh);
    high.value.Add(kHighEnd, std::sqrt(high.sigma - low.sigma));
    double log_middle = (kLogLow + kLogHigh) / 2;
    double log_reach = (kLogHigh - kLogLow) / 2;
    uint64_t node = 1;
    for (int level = 0; level < kDepth; ++level) {
      PathPoint middle = Bridge(low, high, std::exp2(log_middle), kTreeBit | node);
      const bool upper = rounded > middle.sigma;
      (upper ? low : high) = middle;
      log_reach /= 2;
      log_middle += upper ? log_reach : -log_reach;
      node = 2 * node + (upper ? 1 : 0);
    }
  }
  const uint64_t point = kPointBit | std::bit_cast<uint32_t>(rounded);
  return Bridge(low, high, rounded, point).value;
}

}  // namespace

NoiseDraw BrownianNoise::Draw(int64_t draw, double sigma, double sigma_next) const {
  const int64_t path = draw / kDrawsPerPass;
  CHECK(path < kMaxPaths);
  const uint64_t path_bits = static_cast<uint64_t>(path) << kPathShift;
  NormalSum increment = PathAt(sigma);
  increment.Add(PathAt(sigma_next), -1);
  const double deviation = increment.Deviation();
  Require(deviation > 0, ErrorKind::kUsage, "noise between equal noise levels ({})", sigma);
  NoiseDraw noise{.seeds = seeds_};
  for (const NormalSum::Item& item : increment.items()) {
    const double weight = item.weight / deviation;
    if (std::abs(weight) < kNegligible) continue;
    noise.streams.at(noise.count++) = {static_cast<float>(weight), item.stream | path_bits};
  }
  return noise;
}

}  // namespace gesso
