// The configuration of a T5 encoder: Hugging Face's config.json, with its defaults, as checked
// data. Official: huggingface/transformers models/t5/configuration_t5.py:T5Config.
#pragma once

#include "kernels/activation.h"
#include "models/io/json.h"

namespace gesso::text {

struct T5Config {
  int64_t vocab_size = 0;
  int64_t d_model = 0;
  int64_t d_kv = 0;  // channels of a head; heads * d_kv need not be d_model
  int64_t d_ff = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t relative_attention_num_buckets = 0;
  int64_t relative_attention_max_distance = 0;
  int64_t n_positions = 0;  // longest text that the tokenizer should give
  double layer_norm_epsilon = 0;
  Activation activation = Activation::kRelu;  // feed_forward_proj
  bool is_gated = false;

  int64_t inner_dim() const { return num_heads * d_kv; }
};

// Throws kConfig naming the field, kUnsupported for an activation that gesso does not have.
T5Config ParseT5Config(const Json& config);

}  // namespace gesso::text
