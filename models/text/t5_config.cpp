#include "models/text/t5_config.h"

namespace gesso::text {

namespace {

// Far above any published model, low enough that no product of two of them overflows.
constexpr int64_t kMaxWidth = 1 << 18;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxLayers = 512;
constexpr int64_t kMaxPositions = 1 << 15;

// "relu", "gelu", "gated-gelu", "gated-silu", ...: gated-gelu means the tanh approximation.
void ParseFeedForward(const std::string& projection, T5Config& config) {
  constexpr std::string_view kGated = "gated-";
  config.is_gated = projection.starts_with(kGated);
  const std::string name = config.is_gated ? projection.substr(kGated.size()) : projection;
  if (name == "relu") {
    config.activation = Activation::kRelu;
  } else if (name == "silu" || name == "swish") {
    config.activation = Activation::kSilu;
  } else if (name == "gelu_new" || (name == "gelu" && config.is_gated)) {
    config.activation = Activation::kGeluTanh;
  } else if (name == "gelu") {
    config.activation = Activation::kGeluErf;
  } else {
    Fail(ErrorKind::kUnsupported,
         "feed_forward_proj '{}' is not supported (relu, gelu, gelu_new, silu, each also gated-)",
         projection);
  }
}

}  // namespace

T5Config ParseT5Config(const Json& json) {
  Require(json.is_object(), ErrorKind::kConfig, "the configuration is not a JSON object");
  T5Config config;
  config.vocab_size = GetInt(json, "vocab_size", 1, kMaxVocabulary, 32128);
  config.d_model = GetInt(json, "d_model", 1, kMaxWidth, 512);
  config.d_kv = GetInt(json, "d_kv", 1, kMaxWidth, 64);
  config.d_ff = GetInt(json, "d_ff", 1, kMaxWidth, 2048);
  config.num_layers = GetInt(json, "num_layers", 1, kMaxLayers, 6);
  config.num_heads = GetInt(json, "num_heads", 1, kMaxWidth, 8);
  Require(config.inner_dim() <= kMaxWidth, ErrorKind::kConfig, "num_heads {} times d_kv {} is {}",
          config.num_heads, config.d_kv, config.inner_dim());
  // Two halves (before, after), each half of it exact.
  config.relative_attention_num_buckets =
      GetInt(json, "relative_attention_num_buckets", 4, kMaxPositions, 32);
  config.relative_attention_max_distance =
      GetInt(json, "relative_attention_max_distance", 1, kMaxPositions, 128);
  Require(config.relative_attention_max_distance > config.relative_attention_num_buckets / 4,
          ErrorKind::kConfig, "relative_attention_max_distance {} is too small for {} buckets",
          config.relative_attention_max_distance, config.relative_attention_num_buckets);
  config.n_positions = GetInt(json, "n_positions", 1, kMaxPositions, 512);
  config.layer_norm_epsilon = GetNumber(json, "layer_norm_epsilon", 0, 1, 1e-6);
  ParseFeedForward(Get<std::string>(json, "feed_forward_proj", "relu"), config);
  return config;
}

}  // namespace gesso::text
