#include "models/infinity/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gesso::infinity {

namespace {

constexpr size_t kScales = 13;

struct Ratio {
  double h_div_w;
  std::array<TokenMap, kScales> maps;
};

// clang-format off
constexpr std::array<Ratio, 8> kRatios = {{
    {1.000, {{{1, 1}, {2, 2}, {4, 4}, {6, 6}, {8, 8}, {12, 12}, {16, 16}, {20, 20}, {24, 24},
              {32, 32}, {40, 40}, {48, 48}, {64, 64}}}},
    {1.250, {{{1, 1}, {2, 2}, {3, 3}, {5, 4}, {10, 8}, {15, 12}, {20, 16}, {25, 20}, {30, 24},
              {35, 28}, {45, 36}, {55, 44}, {70, 56}}}},
    {1.333, {{{1, 1}, {2, 2}, {4, 3}, {8, 6}, {12, 9}, {16, 12}, {20, 15}, {24, 18}, {28, 21},
              {36, 27}, {48, 36}, {60, 45}, {72, 54}}}},
    {1.500, {{{1, 1}, {2, 2}, {3, 2}, {6, 4}, {9, 6}, {15, 10}, {21, 14}, {27, 18}, {33, 22},
              {39, 26}, {48, 32}, {63, 42}, {78, 52}}}},
    {1.750, {{{1, 1}, {2, 2}, {3, 3}, {7, 4}, {11, 6}, {14, 8}, {21, 12}, {28, 16}, {35, 20},
              {42, 24}, {56, 32}, {70, 40}, {84, 48}}}},
    {2.000, {{{1, 1}, {2, 2}, {4, 2}, {6, 3}, {10, 5}, {16, 8}, {22, 11}, {30, 15}, {38, 19},
              {46, 23}, {60, 30}, {74, 37}, {90, 45}}}},
    {2.500, {{{1, 1}, {2, 2}, {5, 2}, {10, 4}, {15, 6}, {20, 8}, {25, 10}, {30, 12}, {40, 16},
              {50, 20}, {65, 26}, {80, 32}, {100, 40}}}},
    {3.000, {{{1, 1}, {2, 2}, {6, 2}, {9, 3}, {15, 5}, {21, 7}, {27, 9}, {36, 12}, {45, 15},
              {54, 18}, {72, 24}, {90, 30}, {111, 37}}}},
}};
// clang-format on

// By the total of pixels.
constexpr std::array<std::pair<std::string_view, size_t>, 4> kScalesOf = {
    {{"0.06M", 7}, {"0.25M", 10}, {"0.60M", 12}, {"1M", kScales}}};

std::vector<ScheduleTemplate> MakeTemplates() {
  std::vector<ScheduleTemplate> templates;
  for (const Ratio& ratio : kRatios) {
    templates.push_back({ratio.h_div_w, {ratio.maps.begin(), ratio.maps.end()}});
    if (ratio.h_div_w == 1) continue;
    ScheduleTemplate inverse = templates.back();
    // Three decimals, cut off: 0.666 for 1.5.
    inverse.h_div_w = std::floor(1 / ratio.h_div_w * 1000) / 1000;
    for (TokenMap& map : inverse.maps) std::swap(map.height, map.width);
    templates.push_back(inverse);
  }
  return templates;
}

}  // namespace

const std::vector<ScheduleTemplate>& ScheduleTemplates() {
  static const std::vector<ScheduleTemplate> templates = MakeTemplates();
  return templates;
}

const ScheduleTemplate& FindScheduleTemplate(double height, double width) {
  // 0.333 is the key of 1:3.
  constexpr double kRoom = 1e-3;
  Require(height > 0 && width > 0 && height <= (3 + kRoom) * width && width <= (3 + kRoom) * height,
          ErrorKind::kUsage,
          "{} x {} (width x height) is no aspect ratio of Infinity's: choose one between 1:3 and "
          "3:1",
          width, height);
  const double h_div_w = height / width;
  const std::vector<ScheduleTemplate>& templates = ScheduleTemplates();
  return *std::ranges::min_element(templates, {}, [&](const ScheduleTemplate& candidate) {
    return std::abs(candidate.h_div_w - h_div_w);
  });
}

std::span<const TokenMap> ScheduleMaps(const ScheduleTemplate& schedule, std::string_view pn) {
  const auto* const found =
      std::ranges::find(kScalesOf, pn, [](const auto& item) { return item.first; });
  Require(found != kScalesOf.end(), ErrorKind::kUsage,
          "pn '{}' is not one of Infinity's sizes (0.06M, 0.25M, 0.60M, 1M)", pn);
  return std::span(schedule.maps).first(found->second);
}

PictureSchedule FindPictureSchedule(int64_t width, int64_t height, int64_t token_pixels,
                                    std::string_view advice) {
  struct Size {
    int64_t width;
    int64_t height;
    double distance;
  };
  std::vector<Size> sizes;
  for (const ScheduleTemplate& schedule : ScheduleTemplates()) {
    for (const auto& [pn, scales] : kScalesOf) {
      const TokenMap& last = schedule.maps[scales - 1];
      const Size size = {last.width * token_pixels, last.height * token_pixels, 0};
      if (size.width == width && size.height == height) {
        return {ScheduleMaps(schedule, pn), schedule.maps.back()};
      }
      const auto apart = [](int64_t a, int64_t b) {
        return std::abs(std::log(static_cast<double>(a) / static_cast<double>(b)));
      };
      sizes.push_back({size.width, size.height,
                       std::hypot(apart(size.width, width), apart(size.height, height))});
    }
  }
  constexpr size_t kNamed = 4;
  std::ranges::stable_sort(sizes, {}, &Size::distance);
  std::string nearest;
  for (const Size& size : std::span(sizes).first(kNamed)) {
    nearest += fmt::format("{}{} x {}", nearest.empty() ? "" : ", ", size.width, size.height);
  }
  Fail(ErrorKind::kUsage,
       "width, height: Infinity makes no pictures of {} x {}; the nearest of its sizes are {}{}",
       width, height, nearest, advice);
}

}  // namespace gesso::infinity
