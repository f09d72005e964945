// Configuration of a DiM network, with the official field names: those that change anything in
// inference.
//
// Official: tyshiwo1/DiM-DiffusionMamba mamba_attn_diff/models/mamba_2d.py:Mamba2DModel.
#pragma once

#include <optional>
#include <vector>

#include "models/io/json.h"
#include "models/mamba/config.h"

namespace gesso::dim {

// How the pad tokens right of and below the picture take their turn: each column and row has its
// own, or one after the other in the order of rows.
enum class Padding { kLateral, kRho };

// Factors of the long skips, which grow from `low` (times its share) to `high` with depth.
struct SkipTune {
  double low = 0;
  double high = 1;
};

struct Config {
  int64_t width = 0;   // num_attention_heads * attention_head_dim
  int64_t layers = 0;  // odd
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t patch = 2;
  int64_t side = 0;  // sample_size / patch: of the table of positions
  int64_t num_classes = 0;
  int64_t pads = 0;           // pad tokens a row and a column
  int64_t scan_patterns = 4;  // scan_pattern_len + 1
  int64_t encoder_start = 1;  // encoder_start_blk_id, odd
  Padding padding = Padding::kLateral;
  bool skip_split = true;  // two linear layers of a skip instead of one over both
  std::optional<SkipTune> skip_tune;
  mamba::MambaConfig mixer;

  // So many blocks from encoder_start on are joined to the last blocks.
  int64_t skips() const { return (layers - encoder_start) / 2; }
  // The first block that takes a skip.
  int64_t decoder_start() const { return layers - skips(); }
  // 0: rows, 1: rows from the end, 2: columns, 3: columns from the end.
  int64_t ScanOrder(int64_t layer) const;
  // Of the skip that the i-th block of the second half takes.
  double SkipFactor(int64_t i) const;
};

// Throws kConfig naming the field, kUnsupported for variants that no official model uses.
Config ParseConfig(const Json& json);

}  // namespace gesso::dim
