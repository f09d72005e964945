#include "pipelines/diffusion_model.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "models/io/weights.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPipeline = "HourglassDiffusionPipeline";
constexpr std::string_view kAveraged = "model_ema.";  // of a training checkpoint

struct NamedConfig {
  std::string source;  // for messages
  Json json;
};

// The config of a bare checkpoint: in its metadata, or beside it as <name>.json or config.json.
NamedConfig ConfigOf(const Weights& weights) {
  const auto found = weights.metadata.find("config");
  if (found != weights.metadata.end()) {
    const std::string source = weights.path.string() + " (config)";
    return {source, ParseJson(found->second, source)};
  }
  const fs::path named = fs::path(weights.path).replace_extension(".json");
  const fs::path common = weights.path.parent_path() / "config.json";
  for (const fs::path& path : {named, common}) {
    std::error_code error;
    if (fs::exists(path, error)) return {path.string(), ReadJson(path)};
  }
  Fail(ErrorKind::kConfig,
       "{}: has no model config in its metadata, and there is neither {} nor {}",
       weights.path.string(), named.string(), common.string());
}

// A training checkpoint holds several copies of the network: the averaged one is meant.
Weights AveragedWeights(Weights weights) {
  const auto is_averaged = [](const auto& item) { return item.first.starts_with(kAveraged); };
  if (std::ranges::none_of(weights.tensors, is_averaged)) return weights;
  std::map<std::string, Tensor> averaged;
  for (auto& [name, tensor] : weights.tensors) {
    if (name.starts_with(kAveraged)) averaged[name.substr(kAveraged.size())] = std::move(tensor);
  }
  weights.tensors = std::move(averaged);
  return weights;
}

std::shared_ptr<const hdit::Model> LoadDenoiser(const Weights& weights, const NamedConfig& config,
                                                Device device, DType dtype) {
  WithContext(config.source, [&] { hdit::ParseConfig(config.json); });
  return hdit::Load(weights, config.json, device, dtype);
}

// Sizes come from the network's config; a folder may set more.
Request DefaultsOf(const hdit::Config& config) {
  Request defaults;
  defaults.width = config.input_width;
  defaults.height = config.input_height;
  return defaults;
}

// What a model folder may preset: how pictures are made, never what they show or which files and
// models take part.
Request ReadDefaults(const Json& json, const std::string& source) {
  static constexpr std::array<std::string_view, 8> kAllowed = {
      "width",           "height",   "steps", "cfg_scale", "cfg_rescale", "guidance_interval",
      "sampling_method", "scheduler"};
  Require(json.is_object(), ErrorKind::kConfig, "{}: expected an object", source);
  for (const auto& [name, value] : json.items()) {
    Require(std::ranges::find(kAllowed, name) != kAllowed.end(), ErrorKind::kConfig,
            "{}: a model cannot preset '{}'", source, name);
  }
  try {
    return RequestFromJson(json, source);
  } catch (const Error& error) {  // a fault of the file, not of the user
    throw Error(ErrorKind::kConfig, error.what());
  }
}

// [count * rows taken in turn, ...]: rows[0] count times, then rows[1] count times.
Tensor Repeat(ConstView source, std::span<const int64_t> rows, int64_t count) {
  if (source.empty()) return {};
  Shape shape = source.shape;
  shape.Set(0, static_cast<int64_t>(rows.size()) * count);
  Tensor repeated(shape, source.dtype);
  auto* out = static_cast<std::byte*>(repeated.mutable_view().data);
  for (const int64_t row : rows) {
    const ConstView picture = source.Slice(0, row, row + 1);
    const auto* in = static_cast<const std::byte*>(picture.data);
    for (int64_t i = 0; i < count; ++i) out = std::copy(in, in + picture.bytes(), out);
  }
  return repeated;
}

DiffusionModel LoadFolder(const fs::path& path, Device device, DType dtype) {
  const fs::path index_path = path / "model_index.json";
  const Json index = ReadJson(index_path);
  DiffusionModel model;
  model.path = path;
  model.dtype = dtype;
  WithContext(index_path.string(), [&] {
    const auto name = Get<std::string>(index, "_class_name");
    Require(name == kPipeline, ErrorKind::kUnsupported, "gesso has no pipeline '{}' (it has: {})",
            name, kPipeline);
  });
  const fs::path config_path = path / "denoiser" / "config.json";
  model.denoiser = LoadDenoiser(OpenWeights(path / "denoiser" / "model.safetensors"),
                                {config_path.string(), ReadJson(config_path)}, device, dtype);
  if (index.contains("text_encoder")) {
    model.text = text::PromptEncoder::Load(path, device, dtype);
  }
  model.defaults = DefaultsOf(model.denoiser->config);
  if (const auto found = index.find("defaults"); found != index.end()) {
    const std::string source = index_path.string() + ", defaults";
    model.defaults = Merge(model.defaults, ReadDefaults(*found, source));
  }
  return model;
}

}  // namespace

DiffusionModel LoadDiffusionModel(const fs::path& path, Device device, DType dtype) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    Require(fs::exists(path / "model_index.json", error), ErrorKind::kFormat,
            "{}: is no model folder (it has no model_index.json)", path.string());
    return LoadFolder(path, device, dtype);
  }
  const Weights weights = AveragedWeights(OpenWeights(path));
  DiffusionModel model;
  model.path = path;
  model.dtype = dtype;
  model.denoiser = LoadDenoiser(weights, ConfigOf(weights), device, dtype);
  model.defaults = DefaultsOf(model.denoiser->config);
  return model;
}

hdit::Conditioning Conditions::view() const {
  return {.aug_cond = {},
          .class_cond = class_cond,
          .mapping_cond = mapping_cond,
          .context = context,
          .context_mask = context_mask};
}

EncodedPrompt::EncodedPrompt(const DiffusionModel& model, const Request& request) {
  const hdit::Config& config = model.denoiser->config;
  if (config.num_classes > 0) {
    rows_.class_cond = Tensor({2}, DType::kI32);
    int32_t* labels = rows_.class_cond.MutableData<int32_t>();
    labels[0] = static_cast<int32_t>(config.num_classes);  // no class
    labels[1] = static_cast<int32_t>(request.class_label.value_or(config.num_classes));
  }
  if (model.text == nullptr) return;
  const std::array<std::string, 2> prompts = {*request.negative_prompt, *request.prompt};
  text::EncodedPrompts encoded = model.text->Encode(prompts);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!encoded.truncated[i]) continue;
    spdlog::warn("the {}prompt is too long: the model reads its first {} tokens",
                 i == 0 ? "negative " : "", model.text->max_tokens());
  }
  if (config.mapping_cond_dim > 0) rows_.mapping_cond = std::move(encoded.pooled);
  if (model.denoiser->attends_to_text()) {
    rows_.context = std::move(encoded.context);
    rows_.context_mask = std::move(encoded.context_mask);
  }
}

Conditions EncodedPrompt::Bind(int64_t pictures, bool with_negative) const {
  constexpr std::array<int64_t, 2> kRows = {0, 1};
  const std::span<const int64_t> rows = std::span(kRows).last(with_negative ? 2 : 1);
  return {Repeat(rows_.class_cond, rows, pictures), Repeat(rows_.mapping_cond, rows, pictures),
          Repeat(rows_.context, rows, pictures), Repeat(rows_.context_mask, rows, pictures)};
}

}  // namespace gesso
