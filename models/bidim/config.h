// Configuration of a bidirectional Diffusion Mamba.
//
// Mo & Tian 2024, "Scaling Diffusion Mamba with Bidirectional SSMs for Efficient Image and Video
// Generation", which has no published code.
#pragma once

#include <optional>
#include <vector>

#include "models/io/json.h"
#include "models/mamba/config.h"

namespace gesso::bidim {

// The order in which a block reads the tokens of a video: frame by frame, or each place through
// time, place by place.
enum class ScanOrder { kSpatialFirst, kTemporalFirst };

// Conditioning on a text instead of a class, field `text` = {"dim": D, "tokens": L}: its pooled
// state takes the place of the class, its states are L tokens (32 if absent) before the video's.
// An extension of ours.
struct TextConfig {
  int64_t dim = 0;
  int64_t tokens = 0;
};

struct Config {
  int64_t width = 0;  // hidden_size
  int64_t depth = 0;
  int64_t in_channels = 0;
  int64_t out_channels = 0;  // twice as many with learn_sigma
  int64_t num_classes = 0;   // class num_classes: none; 0 with a text
  std::optional<TextConfig> text;
  int64_t patch_frames = 1;  // patch_size
  int64_t patch_height = 2;
  int64_t patch_width = 2;
  int64_t input_frames = 0;  // input_size: what it was trained on; 0 where the config is silent
  int64_t input_height = 0;
  int64_t input_width = 0;
  std::vector<ScanOrder> scan_orders;  // of block i: scan_orders[i mod size]
  mamba::MambaConfig mixer;

  int64_t patch() const { return patch_frames * patch_height * patch_width; }
};

// Throws kConfig naming the field.
Config ParseConfig(const Json& json);

}  // namespace gesso::bidim
