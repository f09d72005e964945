// The shape of an Infinity transformer, from its official arguments or from the checkpoint itself,
// which has no configuration file.
//
// Han et al. 2024, "Infinity: Scaling Bitwise AutoRegressive Modeling for High-Resolution Image
// Synthesis". Official: FoundationVision/Infinity infinity/models/infinity.py:Infinity.
#pragma once

#include "models/io/json.h"
#include "models/io/weights.h"

namespace gesso::infinity {

struct Config {
  int64_t depth = 0;
  int64_t embed_dim = 0;
  int64_t num_heads = 0;
  int64_t block_chunks = 0;  // blocks are named in this many groups
  int64_t ff_width = 0;
  int64_t codebook_dim = 0;       // bits of a token of the image tokenizer
  bool spatial_patchify = false;  // 2 x 2 tokens of the tokenizer make one of the transformer
  int64_t text_channels = 0;
  int64_t text_maxlen = 0;
  double norm_eps = 1e-6;
  bool level_embedding_once = true;  // before the first block, or else before every chunk
  bool ca_gamma = false;             // cross-attention has a learned gate

  int64_t bits() const { return spatial_patchify ? 4 * codebook_dim : codebook_dim; }
  int64_t head_dim() const { return embed_dim / num_heads; }
  int64_t patch() const { return spatial_patchify ? 2 : 1; }
  // Of the pooling that makes one vector of a text.
  int64_t pool_heads() const { return text_channels / (embed_dim > 4096 ? 64 : 128); }
  // "block_chunks.I.module.J."
  std::string BlockName(int64_t block) const;
};

// Refuses (kUnsupported) arguments of a block that only unpublished checkpoints have.
void CheckBlockVariant(const Json& config);

// Hidden features of a block's feed-forward, from mlp_ratio: the nearest multiple of 256, or
// embed_dim where that is 0. Throws kConfig.
int64_t FeedForwardWidth(const Json& config, int64_t embed_dim);

// From the official arguments. Throws kConfig naming the field, kUnsupported for variants that no
// published checkpoint uses.
Config ParseConfig(const Json& config);

// From the names and shapes of a checkpoint, and from the bits of a token of the tokenizer that it
// is used with. Throws kFormat where the checkpoint is no Infinity, or has not the 4 or 8 groups of
// blocks of the published ones, kConfig where the tokenizer is not the one it was trained with.
Config InferConfig(const Weights& weights, int64_t codebook_dim);

// The number of blocks that the checkpoint's names count.
int64_t CountBlocks(const Weights& weights);

}  // namespace gesso::infinity
