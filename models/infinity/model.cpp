#include "models/infinity/model.h"

#include "models/infinity/checkpoint.h"
#include "models/nn/load.h"

namespace gesso::infinity {

namespace {

std::vector<std::string> BlockNames(const Config& config) {
  std::vector<std::string> names;
  for (int64_t block = 0; block < config.depth; ++block) names.push_back(config.BlockName(block));
  return names;
}

next_scale::BlockConfig BlockConfigOf(const Config& config) {
  return {.attention = {.width = config.embed_dim, .heads = config.num_heads},
          .ff_width = config.ff_width,
          .norm_eps = static_cast<float>(config.norm_eps),
          .text_width = config.embed_dim,
          .ca_gamma = config.ca_gamma,
          .self_attention = "sa"};
}

}  // namespace

Model::Model(const Config& c)
    : config(c),
      text(c),
      word_embed(c.embed_dim, c.bits(), nn::Precision::kFull, nn::Bias::kLearned),
      ada(c.embed_dim, 6, true, BlockNames(c)),
      blocks(static_cast<size_t>(c.depth), next_scale::Block(BlockConfigOf(c))),
      head(2 * c.bits(), c.embed_dim, nn::Precision::kFull, nn::Bias::kLearned) {}

void Model::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  text.Visit(visitor, prefix);
  visitor.Plain(prefix + "pos_start", {1, 1, config.embed_dim}, nn::Role::kParameter, pos_start);
  visitor.Plain(prefix + "lvl_embed.weight", {kMaxScales, config.embed_dim}, nn::Role::kParameter,
                level_embedding);
  word_embed.Visit(visitor, prefix + "word_embed.");
  ada.Visit(visitor, prefix);
  for (int64_t i = 0; i < config.depth; ++i) {
    blocks[static_cast<size_t>(i)].Visit(visitor, prefix + config.BlockName(i));
  }
  head.Visit(visitor, prefix + "head.");
}

std::shared_ptr<const Model> Load(const Weights& file, const Config& config, Device device,
                                  DType dtype) {
  const Weights weights = TransformerWeights(file);
  const int64_t blocks = CountBlocks(weights);
  Require(blocks == config.depth, ErrorKind::kFormat,
          "{}: the checkpoint has {} blocks, but an Infinity of depth {} is wanted",
          file.path.string(), blocks, config.depth);
  auto model = std::make_shared<Model>(config);
  model->activation = ActivationDType(device, dtype);
  nn::LoadWeights(*model, weights, device, dtype);
  model->text.Prepare();
  for (next_scale::Block& block : model->blocks) block.Prepare();
  return model;
}

}  // namespace gesso::infinity
