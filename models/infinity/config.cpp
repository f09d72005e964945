#include "models/infinity/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace gesso::infinity {

namespace {

// Far above any published model, low enough that no product of two of them overflows.
constexpr int64_t kMaxDepth = 512;
constexpr int64_t kMaxWidth = 1 << 16;
constexpr int64_t kMaxBits = 1 << 10;
constexpr int64_t kMaxText = 1 << 15;

constexpr std::string_view kChunks = "block_chunks.";
constexpr std::array<int64_t, 2> kPublishedChunks = {4, 8};

bool Flag(const Json& config, const std::string& key, bool fallback) {
  return GetInt(config, key, 0, 1, fallback ? 1 : 0) != 0;
}

void CheckShape(const Config& config) {
  Require(config.embed_dim % config.num_heads == 0, ErrorKind::kConfig,
          "num_heads {} does not divide embed_dim {}", config.num_heads, config.embed_dim);
  Require(config.head_dim() % 4 == 0, ErrorKind::kConfig,
          "a head has {} channels, but rotary embedding needs a multiple of 4", config.head_dim());
  Require(config.depth % config.block_chunks == 0, ErrorKind::kConfig,
          "block_chunks {} does not divide depth {}", config.block_chunks, config.depth);
  // The published code names them blocks.N then, and cannot run them.
  Require(config.block_chunks > 1, ErrorKind::kUnsupported,
          "block_chunks 1 is not supported (the published checkpoints have 4 or 8)");
  const int64_t heads = config.pool_heads();
  Require(heads >= 1 && config.embed_dim % heads == 0, ErrorKind::kConfig,
          "text_channels {} make {} pooling heads, which do not divide embed_dim {}",
          config.text_channels, heads, config.embed_dim);
}

void RequireVariant(bool is_supported, std::string_view what) {
  Require(is_supported, ErrorKind::kUnsupported, "Infinity with {} is not supported", what);
}

// Refuses what only unpublished checkpoints have.
void CheckVariant(const Json& config) {
  RequireVariant(
      Flag(config, "use_bit_label", true),
      "use_bit_label 0 (one softmax over the codebook; the published code cannot sample it)");
  RequireVariant(Get<bool>(config, "head_aln", true), "head_aln false");
  RequireVariant(!Get<bool>(config, "rms_norm", false), "rms_norm");
  RequireVariant(!Get<bool>(config, "nm0", false), "nm0");
  RequireVariant(GetInt(config, "head_depth", 1, kMaxDepth, 1) == 1, "head_depth above 1");
  RequireVariant(Flag(config, "rope2d_each_sa_layer", true), "rope2d_each_sa_layer 0");
  CheckBlockVariant(config);
}

const Shape& ShapeOf(const Weights& weights, const std::string& name, int rank) {
  const Shape& shape = weights.At(name).shape();
  Require(shape.rank() == rank && shape.numel() > 0, ErrorKind::kFormat,
          "{}: tensor {}: expected {} axes, got {}", weights.path.string(), name, rank, shape);
  return shape;
}

// (chunk, block within it) of "block_chunks.I.module.J.*".
std::optional<std::pair<int64_t, int64_t>> BlockOf(std::string_view name) {
  constexpr std::string_view kModule = ".module.";
  if (!name.starts_with(kChunks)) return std::nullopt;
  name.remove_prefix(kChunks.size());
  std::pair<int64_t, int64_t> block;
  const char* const end = name.data() + name.size();
  const auto chunk = std::from_chars(name.data(), end, block.first);
  if (chunk.ec != std::errc{}) return std::nullopt;
  const std::string_view rest(chunk.ptr, static_cast<size_t>(end - chunk.ptr));
  if (!rest.starts_with(kModule)) return std::nullopt;
  const auto module = std::from_chars(chunk.ptr + kModule.size(), end, block.second);
  if (module.ec != std::errc{} || block.first < 0 || block.second < 0) return std::nullopt;
  return block;
}

// Chunks, and blocks of the first one.
std::pair<int64_t, int64_t> CountChunks(const Weights& weights) {
  int64_t chunks = 0;
  int64_t blocks = 0;
  for (const auto& [name, tensor] : weights.tensors) {
    const auto block = BlockOf(name);
    if (!block) continue;
    Require(block->first < kMaxDepth && block->second < kMaxDepth, ErrorKind::kFormat,
            "{}: tensor {}: more than {} blocks", weights.path.string(), name, kMaxDepth);
    chunks = std::max(chunks, block->first + 1);
    if (block->first == 0) blocks = std::max(blocks, block->second + 1);
  }
  return {chunks, blocks};
}

}  // namespace

std::string Config::BlockName(int64_t block) const {
  const int64_t blocks_a_chunk = depth / block_chunks;
  return fmt::format("{}{}.module.{}.", kChunks, block / blocks_a_chunk, block % blocks_a_chunk);
}

void CheckBlockVariant(const Json& config) {
  RequireVariant(Get<bool>(config, "shared_aln", true), "shared_aln false");
  RequireVariant(Get<bool>(config, "cos_attn", true), "cos_attn false");
  RequireVariant(!Get<bool>(config, "swiglu", false), "swiglu");
  RequireVariant(GetInt(config, "rope2d_normalized_by_hw", 0, 2, 2) == 2,
                 "rope2d_normalized_by_hw other than 2");
}

int64_t FeedForwardWidth(const Json& config, int64_t embed_dim) {
  // Halves to even, as Python rounds.
  const double hidden =
      static_cast<double>(embed_dim) * GetNumber(config, "mlp_ratio", 0, kMaxText, 4) / 256;
  const int64_t width = 256 * std::llrint(hidden);
  return width > 0 ? width : embed_dim;
}

Config ParseConfig(const Json& json) {
  Require(json.is_object(), ErrorKind::kConfig, "the configuration is not a JSON object");
  CheckVariant(json);
  Config config;
  config.depth = GetInt(json, "depth", 1, kMaxDepth);
  config.embed_dim = GetInt(json, "embed_dim", 1, kMaxWidth);
  config.num_heads = GetInt(json, "num_heads", 1, kMaxWidth);
  config.block_chunks = GetInt(json, "block_chunks", 1, kMaxDepth);
  config.ff_width = FeedForwardWidth(json, config.embed_dim);
  config.codebook_dim = GetInt(json, "codebook_dim", 1, kMaxBits);
  config.spatial_patchify = Flag(json, "apply_spatial_patchify", false);
  config.text_channels = GetInt(json, "text_channels", 1, kMaxWidth);
  config.text_maxlen = GetInt(json, "text_maxlen", 1, kMaxText);
  config.norm_eps = GetNumber(json, "norm_eps", 0, 1, 1e-6);
  config.level_embedding_once = Flag(json, "add_lvl_embeding_only_first_block", true);
  config.ca_gamma = GetNumber(json, "cross_attn_layer_scale", -1e6, 1e6, -1) >= 0;
  CheckShape(config);
  return config;
}

Config InferConfig(const Weights& weights, int64_t codebook_dim) {
  const auto [chunks, blocks] = CountChunks(weights);
  Require(!weights.tensors.contains("blocks.0.sa.mat_qkv.weight"), ErrorKind::kUnsupported,
          "{}: names its blocks blocks.N, as an Infinity with block_chunks 1 does, which is not "
          "supported (the published checkpoints have 4 or 8)",
          weights.path.string());
  Require(chunks > 0, ErrorKind::kFormat,
          "{}: is no Infinity transformer (it has no tensor block_chunks.*)",
          weights.path.string());
  Require(
      blocks > 0, ErrorKind::kFormat,
      "{}: has tensors of block_chunks.{}, but none of block_chunks.0: a part of the checkpoint "
      "is missing",
      weights.path.string(), chunks - 1);
  Require(
      std::ranges::find(kPublishedChunks, chunks) != kPublishedChunks.end(), ErrorKind::kFormat,
      "{}: ends with block_chunks.{}, but the published checkpoints have 4 or 8 of them: a part "
      "is missing; one of another layout needs a model folder with transformer/config.json",
      weights.path.string(), chunks - 1);
  Config config;
  config.block_chunks = chunks;
  config.depth = chunks * blocks;
  config.embed_dim = ShapeOf(weights, "pos_start", 3)[2];
  const std::string first = "block_chunks.0.module.0.";
  config.num_heads = ShapeOf(weights, first + "sa.scale_mul_1H11", 4)[1];
  config.ff_width = ShapeOf(weights, first + "ffn.fc1.weight", 2)[0];
  config.ca_gamma = weights.tensors.contains(first + "ca_gamma");
  const Shape& text = ShapeOf(weights, "cfg_uncond", 2);
  config.text_maxlen = text[0];
  config.text_channels = text[1];
  config.codebook_dim = codebook_dim;
  const int64_t bits = ShapeOf(weights, "word_embed.weight", 2)[1];
  config.spatial_patchify = bits == 4 * codebook_dim;
  Require(config.bits() == bits, ErrorKind::kConfig,
          "{}: the transformer works on {} bits a token, but its tokenizer gives {} ({} with 2 x 2 "
          "patches); choose the tokenizer that it was trained with",
          weights.path.string(), bits, codebook_dim, 4 * codebook_dim);
  WithContext(weights.path.string(), [&] { CheckShape(config); });
  return config;
}

int64_t CountBlocks(const Weights& weights) {
  const auto [chunks, blocks] = CountChunks(weights);
  return chunks * blocks;
}

}  // namespace gesso::infinity
