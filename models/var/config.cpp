#include "models/var/config.h"

#include <cmath>

namespace gesso::var {

namespace {

constexpr int64_t kMaxDepth = 256;
constexpr int64_t kMaxWidth = 1 << 15;
constexpr int64_t kMaxScales = 64;
constexpr int64_t kMaxSide = 256;
constexpr int64_t kMaxClasses = 1 << 24;
constexpr double kMaxRatio = 64;

// Extents of a matrix of the checkpoint.
const Shape& MatrixShape(const Weights& weights, const std::string& name) {
  const Shape& shape = weights.At(name).shape();
  Require(shape.rank() == 2, ErrorKind::kFormat, "{}: tensor {}: expected a matrix, got {}",
          weights.path.string(), name, shape);
  return shape;
}

std::vector<int64_t> ParsePatchNums(const Json& config) {
  const auto sides = Get<std::vector<int64_t>>(config, "patch_nums");
  Require(!sides.empty() && sides.size() <= kMaxScales, ErrorKind::kConfig,
          "field 'patch_nums' has {} entries, expected 1 to {}", sides.size(), kMaxScales);
  for (const int64_t side : sides) {
    Require(side >= 1 && side <= kMaxSide, ErrorKind::kConfig,
            "field 'patch_nums' has a side of {}, expected 1 to {}", side, kMaxSide);
  }
  return sides;
}

// Whether queries and keys are normalised: they are where their learned factors are present.
bool ParseL2Norm(const Json& config, const Weights& weights) {
  const bool present = weights.tensors.contains("blocks.0.attn.scale_mul_1H11");
  const bool declared = Get<bool>(config, "attn_l2_norm", present);
  Require(declared == present, ErrorKind::kConfig,
          "field 'attn_l2_norm' is {}, but the weights {} blocks.0.attn.scale_mul_1H11", declared,
          present ? "have" : "lack");
  return present;
}

}  // namespace

int64_t Config::tokens() const { return offset(static_cast<int64_t>(patch_nums.size())); }

int64_t Config::offset(int64_t scale) const {
  int64_t sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(scale); ++i) sum += patch_nums[i] * patch_nums[i];
  return sum;
}

Config ParseConfig(const Json& json, const Weights& weights) {
  Config config;
  config.depth = GetInt(json, "depth", 1, kMaxDepth);
  config.width = GetInt(json, "embed_dim", 1, kMaxWidth);
  config.heads = GetInt(json, "num_heads", 1, kMaxWidth);
  Require(config.width % config.heads == 0, ErrorKind::kConfig,
          "num_heads {} does not divide embed_dim {}", config.heads, config.width);
  const double ratio = GetNumber(json, "mlp_ratio", 1e-3, kMaxRatio, 4);
  // Halves to even, as Python rounds.
  config.ff_width = std::llrint(static_cast<double>(config.width) * ratio);
  Require(config.ff_width >= 1, ErrorKind::kConfig, "mlp_ratio {} leaves no hidden channel", ratio);
  config.norm_eps = static_cast<float>(GetNumber(json, "norm_eps", 1e-12, 1, 1e-6));
  config.shared_aln = Get<bool>(json, "shared_aln", false);
  config.patch_nums = ParsePatchNums(json);
  if (const Json text = Get<Json>(json, "text", Json()); !text.is_null()) {
    Require(text.is_object(), ErrorKind::kConfig, "field 'text' must be a JSON object");
    config.text = TextConfig{.dim = GetInt(text, "dim", 1, kMaxWidth)};
  } else {
    config.num_classes = GetInt(json, "num_classes", 1, kMaxClasses, 1000);
  }
  if (const Json scan = Get<Json>(json, "mamba", Json()); !scan.is_null()) {
    Require(scan.is_object(), ErrorKind::kConfig, "field 'mamba' must be a JSON object");
    config.mamba = mamba::ParseMamba2Config(scan, config.width);
  }
  config.l2_norm = ParseL2Norm(json, weights);
  config.vocab_size = MatrixShape(weights, "head.weight")[0];
  config.code_width = MatrixShape(weights, "word_embed.weight")[1];
  return config;
}

int64_t CountBlocks(const Weights& weights) {
  int64_t blocks = 0;
  while (weights.tensors.contains(fmt::format("blocks.{}.ffn.fc1.weight", blocks))) ++blocks;
  return blocks;
}

}  // namespace gesso::var
