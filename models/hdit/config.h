// The configuration of an Hourglass Diffusion Transformer: the JSON file of k-diffusion, with its
// defaults, as checked data.
//
// Crowson et al. 2024, "Scalable High-Resolution Pixel-Space Image Synthesis with Hourglass
// Diffusion Transformers". Official: crowsonkb/k-diffusion k_diffusion/config.py:load_config.
#pragma once

#include <optional>
#include <vector>

#include "models/io/json.h"

namespace gesso::hdit {

enum class AttentionKind { kGlobal, kNeighborhood, kShiftedWindow, kNone };

struct SelfAttentionConfig {
  AttentionKind kind = AttentionKind::kGlobal;
  int64_t d_head = 64;
  int64_t kernel_size = 7;  // kNeighborhood
  int64_t window_size = 0;  // kShiftedWindow
};

struct LevelConfig {
  int64_t depth = 0;  // layers on the way down, and again on the way up
  int64_t width = 0;
  int64_t d_ff = 0;
  SelfAttentionConfig self_attn;
  // Ours: attention to the text between self-attention and feed-forward.
  std::optional<int64_t> cross_attn_d_head;
};

struct Config {
  int64_t input_channels = 0;
  int64_t input_height = 0;  // pixels; the size of the training pictures
  int64_t input_width = 0;
  int64_t patch_height = 0;
  int64_t patch_width = 0;
  int64_t mapping_width = 256;
  int64_t mapping_depth = 2;
  int64_t mapping_d_ff = 768;
  int64_t mapping_cond_dim = 0;
  int64_t cross_attn_dim = 0;  // ours: channels of the text encoder
  int64_t num_classes = 0;     // class ids 0 .. num_classes - 1; num_classes itself = no class
  double sigma_data = 1;
  double sigma_min = 0;
  double sigma_max = 0;
  std::vector<LevelConfig> levels;  // outermost first; the last is the middle

  // A picture's height and width must be multiples of these, so that every level has whole tokens
  // and windows.
  int64_t height_multiple() const;
  int64_t width_multiple() const;
  // The smallest of these multiples in which every level has a neighborhood's tokens.
  int64_t smallest_height() const;
  int64_t smallest_width() const;
};

// Throws kConfig naming the field, kUnsupported for another model type.
Config ParseConfig(const Json& config);

}  // namespace gesso::hdit
