#include "models/var/model.h"

#include <cmath>

#include "models/nn/load.h"

namespace gesso::var {

namespace {

std::vector<std::string> BlockNames(int64_t depth) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < depth; ++i) names.push_back(fmt::format("blocks.{}.", i));
  return names;
}

next_scale::BlockConfig BlockConfigOf(const Config& config) {
  const auto head_dim = static_cast<float>(config.width / config.heads);
  next_scale::BlockConfig block;
  block.attention = {.width = config.width,
                     .heads = config.heads,
                     .l2_norm = config.l2_norm,
                     .scale = 0.25f / std::sqrt(head_dim)};
  block.ff_width = config.ff_width;
  block.norm_eps = config.norm_eps;
  if (config.text) block.text_width = config.text->dim;
  block.mamba = config.mamba;
  return block;
}

// What tells best that a config is another checkpoint's.
void CheckSizes(const Weights& weights, const Config& config) {
  const int64_t blocks = CountBlocks(weights);
  Require(blocks == config.depth, ErrorKind::kFormat,
          "{}: the checkpoint has {} blocks, but a VAR of depth {} is wanted",
          weights.path.string(), blocks, config.depth);
  const Shape& positions = weights.At("pos_1LC").shape();
  Require(positions.rank() != 3 || positions[1] == config.tokens(), ErrorKind::kFormat,
          "{}: the checkpoint has {} positions, but the patch_nums of its config make {} tokens",
          weights.path.string(), positions[1], config.tokens());
}

// Saved with the weights, but functions of the configuration.
bool IsBuffer(const std::string& name) {
  return name == "lvl_1L" || name == "attn_bias_for_masking" ||
         name.ends_with(".attn.patch_nums") || name.ends_with(".attn.zero_k_bias") ||
         name.ends_with(".ca.zero_k_bias");
}

}  // namespace

Model::Model(const Config& configuration)
    : config(configuration),
      word_embed(config.width, config.code_width, nn::Precision::kFull, nn::Bias::kLearned),
      ada_ln(config.width, config.modulation_chunks(), config.shared_aln, BlockNames(config.depth)),
      blocks(static_cast<size_t>(config.depth), next_scale::Block(BlockConfigOf(config))),
      head(config.vocab_size, config.width, nn::Precision::kFull, nn::Bias::kLearned) {
  if (config.text) {
    text_proj.emplace_back(config.width, config.text->dim, nn::Precision::kFull,
                           nn::Bias::kLearned);
  }
}

TokenMap Model::map(int64_t scale) const {
  const int64_t side = config.patch_nums[static_cast<size_t>(scale)];
  return {.height = side, .width = side};
}

std::vector<TokenMap> Model::maps() const {
  std::vector<TokenMap> maps;
  for (int64_t scale = 0; scale < scales(); ++scale) maps.push_back(map(scale));
  return maps;
}

void Model::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const int64_t width = config.width;
  constexpr nn::Role kParameter = nn::Role::kParameter;
  if (config.text) {
    text_proj.front().Visit(visitor, prefix + "text_proj.");
  } else {
    visitor.Plain(prefix + "class_emb.weight", {config.num_classes + 1, width}, kParameter,
                  class_emb);
  }
  visitor.Plain(prefix + "pos_start", {1, map(0).tokens(), width}, kParameter, pos_start);
  visitor.Plain(prefix + "pos_1LC", {1, config.tokens(), width}, kParameter, pos);
  visitor.Plain(prefix + "lvl_embed.weight", {scales(), width}, kParameter, lvl_embed);
  word_embed.Visit(visitor, prefix + "word_embed.");
  ada_ln.Visit(visitor, prefix);
  const std::vector<std::string> names = BlockNames(config.depth);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i].Visit(visitor, prefix + names[i]);
  head.Visit(visitor, prefix + "head.");
}

void Model::Prepare() {
  for (next_scale::Block& block : blocks) block.Prepare();
  const int64_t width = config.width;
  positions = Tensor({config.tokens(), width}, DType::kF32);
  float* to = positions.MutableData<float>();
  for (int64_t scale = 0; scale < scales(); ++scale) {
    const float* level = lvl_embed.Data<float>() + scale * width;
    for (int64_t token = config.offset(scale); token < config.offset(scale + 1); ++token) {
      for (int64_t c = 0; c < width; ++c) {
        to[token * width + c] = pos.Data<float>()[token * width + c] + level[c];
      }
    }
  }
  start = Tensor({map(0).tokens(), width}, DType::kF32);
  for (int64_t i = 0; i < start.shape().numel(); ++i) {
    start.MutableData<float>()[i] = pos_start.Data<float>()[i] + to[i];
  }
}

std::shared_ptr<const Model> Load(Weights weights, const Config& config, Device device,
                                  DType dtype) {
  CheckSizes(weights, config);
  std::erase_if(weights.tensors, [](const auto& item) { return IsBuffer(item.first); });
  auto model = std::make_shared<Model>(config);
  model->activation = ActivationDType(device, dtype);
  nn::LoadWeights(*model, weights, device, dtype);
  model->Prepare();
  return model;
}

}  // namespace gesso::var
