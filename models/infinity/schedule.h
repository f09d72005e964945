// The published series of token maps: one template an aspect ratio, cut off at the size of the
// picture.
//
// Han et al. 2024, "Infinity: Scaling Bitwise AutoRegressive Modeling for High-Resolution Image
// Synthesis". Official: FoundationVision/Infinity infinity/utils/dynamic_resolution.py.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "models/hooks.h"

namespace gesso::infinity {

struct ScheduleTemplate {
  double h_div_w = 1;          // the published key, height / width: 1.333, 0.75, ...
  std::vector<TokenMap> maps;  // of the largest picture, 1M
};

// All templates: the square, then each ratio with its inverse.
const std::vector<ScheduleTemplate>& ScheduleTemplates();

// The template whose key is nearest to height / width. Throws kUsage for ratios beyond the
// tables' 1:3 and 3:1.
const ScheduleTemplate& FindScheduleTemplate(double height, double width);

// The template's maps up to a total of `pn` pixels: "0.06M", "0.25M", "0.60M" or "1M". Throws
// kUsage for others.
std::span<const TokenMap> ScheduleMaps(const ScheduleTemplate& schedule, std::string_view pn);

// The maps of a picture.
struct PictureSchedule {
  std::span<const TokenMap> maps;
  TokenMap reference;  // the template's last map: grid of the rotary embedding
};

// Those of a picture of width x height pixels, `token_pixels` of them a side of a token. Throws
// kUsage, naming the nearest sizes and ending in `advice`, for one that the published tables do not
// have.
PictureSchedule FindPictureSchedule(int64_t width, int64_t height, int64_t token_pixels,
                                    std::string_view advice = "");

}  // namespace gesso::infinity
