#include "models/hdit/config.h"

#include <algorithm>
#include <numeric>

namespace gesso::hdit {

namespace {

// Far above any published model, low enough that no product of two of them overflows.
constexpr int64_t kMaxLevels = 8;
constexpr int64_t kMaxDepth = 256;
constexpr int64_t kMaxWidth = 1 << 15;
constexpr int64_t kMaxFeedForward = 1 << 18;
constexpr int64_t kMaxSide = 1 << 16;
constexpr int64_t kMaxPatch = 256;
constexpr int64_t kMaxClasses = 1 << 24;
constexpr double kMaxSigma = 1e6;

const Json& Section(const Json& config, const std::string& name) {
  static const Json empty = Json::object();
  const auto found = config.find(name);
  if (found == config.end()) return empty;
  Require(found->is_object(), ErrorKind::kConfig, "section '{}' is not a JSON object", name);
  return *found;
}

// The list at `key`, or nullptr where it is absent, null or empty (as the official defaults have
// it). `size` = 0: any length up to kMaxLevels.
const Json* FindList(const Json& model, const std::string& key, size_t size) {
  const auto found = model.find(key);
  if (found == model.end() || found->is_null()) return nullptr;
  Require(found->is_array(), ErrorKind::kConfig, "field '{}' must be a list", key);
  if (found->empty()) return nullptr;
  Require(size == 0 ? found->size() <= kMaxLevels : found->size() == size, ErrorKind::kConfig,
          "field '{}' has {} entries, expected {}", key, found->size(),
          size == 0 ? fmt::format("1 to {}", kMaxLevels) : std::to_string(size));
  return &*found;
}

const Json& List(const Json& model, const std::string& key, size_t size) {
  const Json* list = FindList(model, key, size);
  Require(list != nullptr, ErrorKind::kConfig, "field '{}' is missing", key);
  return *list;
}

std::string Item(const std::string& key, size_t index) { return fmt::format("{}[{}]", key, index); }

int64_t ListItem(const Json& list, const std::string& key, size_t index, int64_t low,
                 int64_t high) {
  return ToInt(list[index], Item(key, index), low, high);
}

int64_t ParseHeadSize(const Json& spec, int64_t width) {
  const int64_t d_head = GetInt(spec, "d_head", 1, kMaxWidth, 64);
  Require(width % d_head == 0, ErrorKind::kConfig, "d_head {} does not divide the width {}", d_head,
          width);
  return d_head;
}

// Axial rotary embedding works on eighths of a head.
int64_t ParseRotaryHeadSize(const Json& spec, int64_t width) {
  const int64_t d_head = ParseHeadSize(spec, width);
  Require(d_head % 8 == 0, ErrorKind::kConfig, "d_head {} is not a multiple of 8", d_head);
  return d_head;
}

SelfAttentionConfig ParseSelfAttention(const Json& spec, int64_t width) {
  Require(spec.is_object(), ErrorKind::kConfig, "must be a JSON object");
  const auto type = Get<std::string>(spec, "type");
  SelfAttentionConfig attention;
  if (type == "none") {
    attention.kind = AttentionKind::kNone;
    return attention;
  }
  attention.d_head = ParseRotaryHeadSize(spec, width);
  if (type == "global") {
    attention.kind = AttentionKind::kGlobal;
  } else if (type == "neighborhood") {
    attention.kind = AttentionKind::kNeighborhood;
    attention.kernel_size = GetInt(spec, "kernel_size", 1, kMaxSide, 7);
    Require(attention.kernel_size % 2 == 1, ErrorKind::kConfig, "kernel_size {} is not odd",
            attention.kernel_size);
  } else if (type == "shifted-window") {
    attention.kind = AttentionKind::kShiftedWindow;
    attention.window_size = GetInt(spec, "window_size", 1, kMaxSide);
  } else {
    Fail(ErrorKind::kConfig,
         "unknown attention type '{}' (global, neighborhood, shifted-window, none)", type);
  }
  return attention;
}

// Absent: neighborhood everywhere but in the middle.
SelfAttentionConfig DefaultSelfAttention(bool middle, int64_t width) {
  SelfAttentionConfig attention;
  attention.kind = middle ? AttentionKind::kGlobal : AttentionKind::kNeighborhood;
  attention.d_head = ParseRotaryHeadSize(Json::object(), width);
  return attention;
}

std::optional<int64_t> ParseCrossAttention(const Json& spec, int64_t width) {
  if (spec.is_null()) return std::nullopt;
  Require(spec.is_object(), ErrorKind::kConfig, "must be null or a JSON object");
  const auto type = Get<std::string>(spec, "type");
  Require(type == "text", ErrorKind::kConfig, "unknown cross-attention type '{}' (text)", type);
  return ParseHeadSize(spec, width);
}

std::vector<LevelConfig> ParseLevels(const Json& model) {
  const Json& widths = List(model, "widths", 0);
  const size_t count = widths.size();
  const Json& depths = List(model, "depths", count);
  const Json* d_ffs = FindList(model, "d_ffs", count);
  const Json* self_attns = FindList(model, "self_attns", count);
  const Json* cross_attns = FindList(model, "cross_attns", count);
  std::vector<LevelConfig> levels(count);
  for (size_t i = 0; i < count; ++i) {
    LevelConfig& level = levels[i];
    level.width = ListItem(widths, "widths", i, 1, kMaxWidth);
    level.depth = ListItem(depths, "depths", i, 0, kMaxDepth);
    level.d_ff =
        d_ffs == nullptr ? 3 * level.width : ListItem(*d_ffs, "d_ffs", i, 1, kMaxFeedForward);
    level.self_attn = WithContext(Item("self_attns", i), [&] {
      return self_attns == nullptr ? DefaultSelfAttention(i + 1 == count, level.width)
                                   : ParseSelfAttention((*self_attns)[i], level.width);
    });
    if (cross_attns == nullptr) continue;
    level.cross_attn_d_head = WithContext(Item("cross_attns", i), [&] {
      return ParseCrossAttention((*cross_attns)[i], level.width);
    });
  }
  Require(std::ranges::any_of(levels, [](const LevelConfig& level) { return level.depth > 0; }),
          ErrorKind::kConfig, "field 'depths' has no layer at all");
  return levels;
}

void ParseSizes(const Json& model, Config& config) {
  config.input_channels = GetInt(model, "input_channels", 1, 1024);
  const Json& size = List(model, "input_size", 2);
  config.input_height = ListItem(size, "input_size", 0, 1, kMaxSide);
  config.input_width = ListItem(size, "input_size", 1, 1, kMaxSide);
  const Json& patch = List(model, "patch_size", 2);
  config.patch_height = ListItem(patch, "patch_size", 0, 1, kMaxPatch);
  config.patch_width = ListItem(patch, "patch_size", 1, 1, kMaxPatch);
}

void ParseConditioning(const Json& model, Config& config) {
  config.mapping_width = GetInt(model, "mapping_width", 2, kMaxWidth, 256);
  Require(config.mapping_width % 2 == 0, ErrorKind::kConfig, "mapping_width {} is not even",
          config.mapping_width);
  config.mapping_depth = GetInt(model, "mapping_depth", 0, kMaxDepth, 2);
  config.mapping_d_ff = GetInt(model, "mapping_d_ff", 1, kMaxFeedForward, 3 * config.mapping_width);
  config.mapping_cond_dim = GetInt(model, "mapping_cond_dim", 0, kMaxWidth, 0);
  config.cross_attn_dim = GetInt(model, "cross_attn_dim", 0, kMaxWidth, 0);
  for (const LevelConfig& level : config.levels) {
    Require(!level.cross_attn_d_head || config.cross_attn_dim > 0, ErrorKind::kConfig,
            "cross_attns needs the field 'cross_attn_dim', the channels of the text encoder");
  }
}

void ParseNoise(const Json& model, Config& config) {
  constexpr double kSmallest = 1e-9;
  config.sigma_data = GetNumber(model, "sigma_data", kSmallest, kMaxSigma, 1);
  config.sigma_min = GetNumber(model, "sigma_min", kSmallest, kMaxSigma);
  config.sigma_max = GetNumber(model, "sigma_max", kSmallest, kMaxSigma);
  Require(config.sigma_min < config.sigma_max, ErrorKind::kConfig,
          "sigma_min {} is not below sigma_max {}", config.sigma_min, config.sigma_max);
}

// Along an axis with patches of `patch` pixels.
int64_t MultipleOf(const Config& config, int64_t patch) {
  int64_t multiple = patch << (config.levels.size() - 1);
  for (size_t level = 0; level < config.levels.size(); ++level) {
    const SelfAttentionConfig& attention = config.levels[level].self_attn;
    if (attention.kind != AttentionKind::kShiftedWindow) continue;
    multiple = std::lcm(multiple, (patch * attention.window_size) << level);
    if (multiple > kMaxSide) break;  // there is no such picture
  }
  return multiple;
}

int64_t SmallestOf(const Config& config, int64_t patch) {
  int64_t smallest = 1;
  for (size_t level = 0; level < config.levels.size(); ++level) {
    const SelfAttentionConfig& attention = config.levels[level].self_attn;
    if (attention.kind != AttentionKind::kNeighborhood) continue;
    smallest = std::max(smallest, (patch * attention.kernel_size) << level);
  }
  const int64_t multiple = MultipleOf(config, patch);
  return (smallest + multiple - 1) / multiple * multiple;
}

}  // namespace

Config ParseConfig(const Json& json) {
  Require(json.is_object(), ErrorKind::kConfig, "the configuration is not a JSON object");
  Config config;
  WithContext("model", [&] {
    const Json& model = Section(json, "model");
    const auto type = Get<std::string>(model, "type");
    Require(type == "image_transformer_v2", ErrorKind::kUnsupported,
            "type '{}' is not an Hourglass Diffusion Transformer (image_transformer_v2)", type);
    Require(!Get<bool>(model, "has_variance", false), ErrorKind::kUnsupported,
            "has_variance: models that predict a variance are not supported");
    ParseSizes(model, config);
    config.levels = ParseLevels(model);
    ParseConditioning(model, config);
    ParseNoise(model, config);
  });
  WithContext("dataset", [&] {
    config.num_classes = GetInt(Section(json, "dataset"), "num_classes", 0, kMaxClasses, 0);
  });
  return config;
}

int64_t Config::height_multiple() const { return MultipleOf(*this, patch_height); }
int64_t Config::width_multiple() const { return MultipleOf(*this, patch_width); }
int64_t Config::smallest_height() const { return SmallestOf(*this, patch_height); }
int64_t Config::smallest_width() const { return SmallestOf(*this, patch_width); }

}  // namespace gesso::hdit
