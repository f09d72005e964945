// Configuration of a VAR or M-VAR transformer, with the official field names, and what only its
// weights tell.
//
// Official: FoundationVision/VAR models/var.py:VAR, models/__init__.py:build_vae_var;
// OliverRensu/MVAR models/mvar.py:MVAR.
#pragma once

#include <optional>
#include <vector>

#include "models/io/json.h"
#include "models/io/weights.h"
#include "models/mamba/config.h"

namespace gesso::var {

// Conditioning on a text instead of a class: field `text` = {"dim": D}. An extension of ours.
struct TextConfig {
  int64_t dim = 0;
};

struct Config {
  int64_t depth = 0;
  int64_t width = 0;  // embed_dim
  int64_t heads = 0;
  int64_t ff_width = 0;
  int64_t num_classes = 0;
  float norm_eps = 1e-6f;
  bool shared_aln = false;
  bool l2_norm = false;             // attn_l2_norm
  std::vector<int64_t> patch_nums;  // sides of the token maps
  int64_t vocab_size = 0;           // V: codes of the tokenizer
  int64_t code_width = 0;           // channels of its codes
  std::optional<TextConfig> text;
  // M-VAR, field `mamba`: attention sees one scale only, a scan carries what earlier scales say.
  std::optional<mamba::Mamba2Config> mamba;

  int64_t tokens() const;  // L, of all scales
  // Rows of C that a block's adaLN has: a gamma, a scale and a shift of each modulated branch.
  int64_t modulation_chunks() const { return mamba ? 9 : 6; }
  // Position of scale's first token in the sequence of all.
  int64_t offset(int64_t scale) const;
};

// Weights decide the sizes of the tokenizer and whether queries and keys are normalised (older
// checkpoints are not, and their config may be silent). Throws kConfig for fields that are wrong
// or contradict the weights, kFormat for weights that are not a VAR's.
Config ParseConfig(const Json& config, const Weights& weights);

// The number of blocks that the checkpoint's names count.
int64_t CountBlocks(const Weights& weights);

}  // namespace gesso::var
