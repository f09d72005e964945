#include "pipelines/mask/mask.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/core/parallel.h"
#include "pipelines/media/image_file.h"

namespace gesso {

namespace {

constexpr int64_t kLanes = 64;  // lines of a picture that are worked on together

// Lines that run along one axis of a mask, as element i of lane j: values[i * lanes + j].
struct Lines {
  int64_t length;
  int64_t lanes;
  std::vector<uint16_t> values;
  std::vector<uint16_t> scratch;  // two times as many, for the filter
};

// Calls filter(lines) for all rows, then for all columns, a few at a time, and keeps what it makes
// of them. Values are 0 .. 65535.
template <class Filter>
void FilterBothAxes(Image& mask, const Filter& filter) {
  constexpr int kWiden = 257;  // 255 to 65535
  const auto run = [&](int64_t length, int64_t across, int64_t along_stride,
                       int64_t across_stride) {
    ParallelRange(across, kLanes, [&](int64_t begin, int64_t end) {
      Lines lines{length, end - begin, {}, {}};
      lines.values.resize(static_cast<size_t>(length * lines.lanes));
      lines.scratch.resize(2 * lines.values.size());
      const auto for_each = [&](const auto& body) {
        for (int64_t i = 0; i < length; ++i) {
          for (int64_t j = 0; j < lines.lanes; ++j) {
            body(lines.values[static_cast<size_t>(i * lines.lanes + j)],
                 mask.pixels[static_cast<size_t>(i * along_stride + (begin + j) * across_stride)]);
          }
        }
      };
      for_each([](uint16_t& value, const uint8_t& pixel) {
        value = static_cast<uint16_t>(pixel * kWiden);
      });
      filter(lines);
      for_each([](const uint16_t& value, uint8_t& pixel) {
        pixel = static_cast<uint8_t>((value + kWiden / 2) / kWiden);
      });
    });
  };
  run(mask.width, mask.height, 1, mask.width);
  run(mask.height, mask.width, mask.width, 1);
}

// Maxima over 2 reach + 1 elements: of the pieces of that length the maxima from their beginning
// and to their end, of which a window takes one of each.
void RunningMaximum(Lines& lines, int64_t reach) {
  const int64_t lanes = lines.lanes;
  const int64_t window = 2 * reach + 1;
  const auto row = [&](std::vector<uint16_t>& from, int64_t i) { return from.data() + i * lanes; };
  uint16_t* const ahead = lines.scratch.data();
  uint16_t* const back = ahead + lines.length * lanes;
  const auto larger = [&](const uint16_t* a, const uint16_t* b, uint16_t* out) {
    for (int64_t j = 0; j < lanes; ++j) out[j] = std::max(a[j], b[j]);
  };
  for (int64_t i = 0; i < lines.length; ++i) {
    const uint16_t* value = row(lines.values, i);
    larger(value, i % window == 0 ? value : ahead + (i - 1) * lanes, ahead + i * lanes);
  }
  for (int64_t i = lines.length - 1; i >= 0; --i) {
    const uint16_t* value = row(lines.values, i);
    const bool ends = i == lines.length - 1 || (i + 1) % window == 0;
    larger(value, ends ? value : back + (i + 1) * lanes, back + i * lanes);
  }
  for (int64_t i = 0; i < lines.length; ++i) {
    const int64_t last = std::min(i + reach, lines.length - 1);
    const int64_t first = std::max<int64_t>(i - reach, 0);
    const uint16_t* to_last = ahead + last * lanes;
    const uint16_t* from_first = back + first * lanes;
    if (first / window == last / window)
      (first == 0 ? from_first : to_last) = first == 0 ? to_last : from_first;  // cut off by an end
    larger(to_last, from_first, row(lines.values, i));
  }
}

// Means over 2 reach + 1 elements, rounded to nearest.
void RunningMean(Lines& lines, int64_t reach) {
  const int64_t lanes = lines.lanes;
  const auto window = static_cast<uint32_t>(2 * reach + 1);
  std::copy(lines.values.begin(), lines.values.end(), lines.scratch.begin());
  const auto row = [&](int64_t i) {
    return lines.scratch.data() + std::clamp<int64_t>(i, 0, lines.length - 1) * lanes;
  };
  std::array<uint32_t, kLanes> sums{};
  for (int64_t i = -reach; i <= reach; ++i) {
    for (int64_t j = 0; j < lanes; ++j) sums[static_cast<size_t>(j)] += row(i)[j];
  }
  for (int64_t i = 0; i < lines.length; ++i) {
    const uint16_t* gone = row(i - reach);
    const uint16_t* next = row(i + reach + 1);
    uint16_t* out = lines.values.data() + i * lanes;
    for (int64_t j = 0; j < lanes; ++j) {
      uint32_t& sum = sums[static_cast<size_t>(j)];
      out[j] = static_cast<uint16_t>((sum + window / 2) / window);
      sum = sum + next[j] - gone[j];
    }
  }
}

// Of three means that together have this standard deviation, the elements they reach to each side.
std::array<int64_t, 3> MeansOf(int64_t deviation) {
  const double variance = static_cast<double>(deviation) * static_cast<double>(deviation);
  auto narrow = static_cast<int64_t>(std::sqrt(4 * variance + 1));
  if (narrow % 2 == 0) --narrow;
  const auto n = static_cast<double>(narrow);
  const double narrow_ones =
      std::ceil((12 * variance - 3 * n * n - 12 * n - 9) / (-4 * n - 4) - 0.5);
  std::array<int64_t, 3> reaches{};
  for (int64_t i = 0; i < 3; ++i) {
    reaches[static_cast<size_t>(i)] =
        (narrow - 1) / 2 + (static_cast<double>(i) < narrow_ones ? 0 : 1);
  }
  return reaches;
}

// The pixels [First(i), End(i)) of an axis that lie under pixel i of the same axis with fewer.
class Covered {
 public:
  Covered(int64_t many, int64_t few) : many_(many), few_(few) {}
  int64_t First(int64_t i) const { return i * many_ / few_; }
  int64_t End(int64_t i) const { return ((i + 1) * many_ + few_ - 1) / few_; }

 private:
  int64_t many_;
  int64_t few_;
};

}  // namespace

void InvertMask(Image& mask) {
  for (uint8_t& pixel : mask.pixels) pixel = static_cast<uint8_t>(~pixel);
}

void GrowMask(Image& mask, int64_t pixels) {
  CHECK(mask.channels == 1 && std::abs(pixels) <= kMaxMaskReach);
  if (pixels == 0) return;
  if (pixels < 0) InvertMask(mask);
  FilterBothAxes(mask, [&](Lines& lines) { RunningMaximum(lines, std::abs(pixels)); });
  if (pixels < 0) InvertMask(mask);
}

void FeatherMask(Image& mask, int64_t deviation) {
  CHECK(mask.channels == 1 && deviation >= 0 && deviation <= kMaxMaskReach);
  if (deviation == 0) return;
  FilterBothAxes(mask, [&](Lines& lines) {
    for (const int64_t reach : MeansOf(deviation)) RunningMean(lines, reach);
  });
}

Image ScaledMask(const Image& mask, int width, int height) {
  CHECK(mask.channels == 1);
  Image small{std::min(width, mask.width), std::min(height, mask.height), 1, {}};
  small.pixels.resize(static_cast<size_t>(small.width) * static_cast<size_t>(small.height));
  const Covered columns(mask.width, small.width);
  const Covered rows(mask.height, small.height);
  ParallelRange(small.height, 1, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> line(static_cast<size_t>(mask.width));
    for (int64_t y = begin; y < end; ++y) {
      std::ranges::fill(line, uint8_t{0});
      for (int64_t v = rows.First(y); v < rows.End(y); ++v) {
        const auto row = mask.pixels.begin() + v * mask.width;
        std::transform(row, row + mask.width, line.begin(), line.begin(),
                       [](uint8_t a, uint8_t b) { return std::max(a, b); });
      }
      for (int64_t x = 0; x < small.width; ++x) {
        small.pixels[static_cast<size_t>(y * small.width + x)] =
            *std::max_element(line.begin() + columns.First(x), line.begin() + columns.End(x));
      }
    }
  });
  return Resized(small, width, height, PixelKind::kLinear);
}

bool IsSoft(const Image& mask) {
  return std::ranges::any_of(mask.pixels,
                             [](uint8_t pixel) { return pixel != 0 && pixel != UINT8_MAX; });
}

}  // namespace gesso
