#include "pipelines/diffusion_model.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/core/select.h"
#include "pipelines/conditions.h"
#include "pipelines/model_files.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPipeline = "HourglassDiffusionPipeline";
constexpr std::string_view kAveraged = "model_ema.";  // of a training checkpoint

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

DiffusionModel LoadFolder(const fs::path& path, Device device, DType dtype) {
  const fs::path index_path = path / "model_index.json";
  const Json index = ReadJson(index_path);
  DiffusionModel model;
  WithContext(index_path.string(), [&] {
    const auto name = Get<std::string>(index, "_class_name");
    Require(name == kPipeline, ErrorKind::kUnsupported,
            "a diffusion model ({}) is needed here, not a '{}'", kPipeline, name);
  });
  const fs::path config_path = path / "denoiser" / "config.json";
  model.denoiser = LoadDenoiser(OpenWeights(path / "denoiser" / "model.safetensors"),
                                {config_path.string(), ReadJson(config_path)}, device, dtype);
  if (index.contains("text_encoder")) {
    model.text = text::PromptEncoder::Load(path, device, dtype);
  }
  model.defaults = DefaultsOf(model.denoiser->config);
  static constexpr std::array<std::string_view, 8> kPresets = {
      "width",           "height",   "steps", "cfg_scale", "cfg_rescale", "guidance_interval",
      "sampling_method", "scheduler"};
  model.defaults = Merge(model.defaults, ReadDefaults(index, index_path, kPresets));
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
  return MakeDiffusionModel(OpenWeights(path), device, dtype);
}

DiffusionModel MakeDiffusionModel(Weights weights, Device device, DType dtype) {
  weights = AveragedWeights(std::move(weights));
  DiffusionModel model;
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
  if (config.num_classes > 0) rows_.class_cond = ClassLabels(request, config.num_classes);
  if (model.text == nullptr) return;
  text::EncodedPrompts encoded = EncodePrompts(*model.text, request);
  if (config.mapping_cond_dim > 0) rows_.mapping_cond = std::move(encoded.pooled);
  if (model.denoiser->attends_to_text()) {
    rows_.context = std::move(encoded.context);
    rows_.context_mask = std::move(encoded.context_mask);
  }
}

Conditions EncodedPrompt::Bind(int64_t pictures, bool with_negative) const {
  const auto count = static_cast<size_t>(pictures);
  std::vector<int64_t> rows(with_negative ? count : 0, 0);
  rows.resize(rows.size() + count, 1);
  return {Select(rows_.class_cond, 0, rows), Select(rows_.mapping_cond, 0, rows),
          Select(rows_.context, 0, rows), Select(rows_.context_mask, 0, rows)};
}

}  // namespace gesso
