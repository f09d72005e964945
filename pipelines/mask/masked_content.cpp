#include "pipelines/mask/masked_content.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/rng.h"
#include "pipelines/mask/crop.h"

namespace gesso {

namespace {

constexpr int kFull = 255;

// "#rrggbb" as three bytes.
std::optional<std::array<uint8_t, 3>> ColourOf(std::string_view kind) {
  if (kind.size() != 7 || kind[0] != '#') return std::nullopt;
  std::array<uint8_t, 3> colour{};
  for (size_t i = 0; i < 3; ++i) {
    const char* digits = kind.data() + 1 + 2 * i;
    if (std::from_chars(digits, digits + 2, colour[i], 16).ptr != digits + 2) return std::nullopt;
  }
  return colour;
}

// A picture of which some is known: values times weight, and the weight 0 .. 1.
struct Level {
  int64_t width;
  int64_t height;
  int64_t channels;
  std::vector<float> sums;     // [height][width][channels]
  std::vector<float> weights;  // [height][width]

  Level(int64_t w, int64_t h, int64_t c)
      : width(w),
        height(h),
        channels(c),
        sums(static_cast<size_t>(w * h * c)),
        weights(static_cast<size_t>(w * h)) {}
};

// Half the size: the mean of what is known of 2 x 2 pixels.
Level Push(const Level& fine) {
  Level coarse((fine.width + 1) / 2, (fine.height + 1) / 2, fine.channels);
  for (int64_t y = 0; y < fine.height; ++y) {
    for (int64_t x = 0; x < fine.width; ++x) {
      const auto from = static_cast<size_t>(y * fine.width + x);
      const auto to = static_cast<size_t>(y / 2 * coarse.width + x / 2);
      const auto channels = static_cast<size_t>(fine.channels);
      coarse.weights[to] += fine.weights[from];
      for (size_t c = 0; c < channels; ++c) {
        coarse.sums[to * channels + c] += fine.sums[from * channels + c];
      }
    }
  }
  // One pixel that is known is enough.
  for (size_t i = 0; i < coarse.weights.size(); ++i) {
    const float scale = 1 / std::max(coarse.weights[i], 1.0f);
    coarse.weights[i] *= scale;
    for (int64_t c = 0; c < coarse.channels; ++c) {
      coarse.sums[i * static_cast<size_t>(coarse.channels) + static_cast<size_t>(c)] *= scale;
    }
  }
  return coarse;
}

// Adds to `fine` what it lacks, from a complete picture of half its size, bilinearly.
void Pull(const Level& coarse, Level& fine) {
  for (int64_t y = 0; y < fine.height; ++y) {
    for (int64_t x = 0; x < fine.width; ++x) {
      const auto at = static_cast<size_t>(y * fine.width + x);
      const float lacks = 1 - fine.weights[at];
      if (lacks <= 0) continue;
      // The nearer coarse pixel has 3/4 of the weight on each axis, and the one beyond the rest.
      const auto next = [](int64_t i, int64_t side) {
        return std::clamp<int64_t>(i / 2 + (i % 2 == 0 ? -1 : 1), 0, side - 1);
      };
      const std::array<int64_t, 2> rows = {y / 2, next(y, coarse.height)};
      const std::array<int64_t, 2> columns = {x / 2, next(x, coarse.width)};
      for (size_t i = 0; i < 4; ++i) {
        const float share = (i / 2 == 0 ? 0.75f : 0.25f) * (i % 2 == 0 ? 0.75f : 0.25f);
        const int64_t from = rows[i / 2] * coarse.width + columns[i % 2];
        for (int64_t c = 0; c < fine.channels; ++c) {
          fine.sums[at * static_cast<size_t>(fine.channels) + static_cast<size_t>(c)] +=
              lacks * share * coarse.sums[static_cast<size_t>(from * coarse.channels + c)];
        }
      }
      fine.weights[at] = 1;
    }
  }
}

// What is not masked, and its colours flowed into the rest; grey where everything is masked.
Image Surroundings(const Image& mask, const Image& image) {
  std::vector<Level> levels;
  levels.emplace_back(image.width, image.height, image.channels);
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    const float weight = static_cast<float>(kFull - mask.pixels[i]) / kFull;
    levels[0].weights[i] = weight;
    for (size_t c = 0; c < channels; ++c) {
      levels[0].sums[i * channels + c] =
          weight * static_cast<float>(image.pixels[i * channels + c]);
    }
  }
  while (levels.back().weights.size() > 1) levels.push_back(Push(levels.back()));
  Level& last = levels.back();
  const float known = last.weights[0];
  for (float& sum : last.sums) sum = known > 0 ? sum / known : static_cast<float>(kFull) / 2;
  last.weights[0] = 1;
  for (size_t i = levels.size() - 1; i > 0; --i) Pull(levels[i], levels[i - 1]);
  Image filled = image;
  for (size_t i = 0; i < filled.pixels.size(); ++i) {
    const float value = std::clamp(levels[0].sums[i], 0.0f, static_cast<float>(kFull));
    filled.pixels[i] = static_cast<uint8_t>(std::lround(value));
  }
  return filled;
}

Image Noise(const Image& like) {
  constexpr std::array<uint32_t, 2> kKey = {0x6e6f6973, 0x65};
  Image noise = like;
  for (size_t i = 0; i < noise.pixels.size(); i += 4) {
    const auto block = static_cast<uint32_t>(i / 16);
    const uint32_t word = Philox({block, 0, 0, 0}, kKey)[i / 4 % 4];
    for (size_t j = i; j < std::min(i + 4, noise.pixels.size()); ++j) {
      noise.pixels[j] = static_cast<uint8_t>(word >> (8 * (j - i)));
    }
  }
  return noise;
}

Image Colour(std::array<uint8_t, 3> colour, const Image& like) {
  Image plain = like;
  const auto channels = static_cast<size_t>(like.channels);
  const uint8_t grey = LumaOf(colour);
  for (size_t i = 0; i < plain.pixels.size(); ++i) {
    const size_t c = i % channels;
    plain.pixels[i] = channels == 1 ? grey : c < 3 ? colour[c] : static_cast<uint8_t>(kFull);
  }
  return plain;
}

}  // namespace

void CheckMaskedContent(std::string_view kind) {
  Require(kind == "keep" || kind == "blur" || kind == "noise" || ColourOf(kind).has_value(),
          ErrorKind::kUsage,
          "masked_content: there is no '{}' (choices: keep, blur, noise, a colour as #rrggbb)",
          kind);
}

void FillMasked(const Image& mask, std::string_view kind, Image& image) {
  CHECK(mask.width == image.width && mask.height == image.height);
  if (kind == "keep") return;
  const auto colour = ColourOf(kind);
  const Image content = colour           ? Colour(*colour, image)
                        : kind == "blur" ? Surroundings(mask, image)
                                         : Noise(image);
  Paste(content, 0, 0, mask, image);
}

}  // namespace gesso
