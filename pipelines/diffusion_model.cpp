#include "pipelines/diffusion_model.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/core/select.h"
#include "pipelines/bidim_network.h"
#include "pipelines/conditions.h"
#include "pipelines/hdit_network.h"
#include "pipelines/model_files.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr double kFps = 8;                            // of clips, where the model says nothing
constexpr std::string_view kAveraged = "model_ema.";  // of a training checkpoint

using LoadNetwork = std::shared_ptr<const DiffusionNetwork> (*)(const Weights& weights,
                                                                const Json& config,
                                                                const std::string& source,
                                                                Device device, DType dtype);

// A kind of network by the `_class_name` of its folders.
struct NetworkKind {
  std::string_view pipeline;
  LoadNetwork load;
};
constexpr std::array<NetworkKind, 2> kKinds = {{
    {"HourglassDiffusionPipeline", LoadHditNetwork},
    {"BidirectionalMambaPipeline", LoadBidimNetwork},
}};

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

// Sizes come from the network; a folder may set more.
Request DefaultsOf(const NetworkTraits& traits) {
  Request defaults;
  defaults.width = traits.width;
  defaults.height = traits.height;
  if (traits.frames == 1) return defaults;
  defaults.frames = traits.frames;
  defaults.fps = kFps;
  return defaults;
}

LoadNetwork LoaderOf(const Json& index) {
  const auto name = Get<std::string>(index, "_class_name");
  std::string known;
  for (const NetworkKind& kind : kKinds) {
    if (kind.pipeline == name) return kind.load;
    known += (known.empty() ? "" : " or ") + std::string(kind.pipeline);
  }
  Fail(ErrorKind::kUnsupported, "a diffusion model ({}) is needed here, not a '{}'", known, name);
}

// Throws kConfig unless text encoder and network fit together.
void CheckText(const DiffusionModel& model, const fs::path& folder) {
  const int64_t wanted = model.traits().text_width;
  Require(model.text == nullptr || wanted == model.text->features(), ErrorKind::kConfig,
          "{}: the text encoder gives {} values a token, the network reads {}", folder.string(),
          model.text ? model.text->features() : 0, wanted);
  Require(model.text != nullptr || wanted == 0, ErrorKind::kConfig,
          "{}: the network is conditioned on text, but there is no text encoder", folder.string());
}

DiffusionModel LoadFolder(const fs::path& path, Device device, DType dtype) {
  const fs::path index_path = path / "model_index.json";
  const Json index = ReadJson(index_path);
  DiffusionModel model;
  const LoadNetwork load = WithContext(index_path.string(), [&] { return LoaderOf(index); });
  const fs::path config_path = path / "denoiser" / "config.json";
  const Json config = ReadJson(config_path);
  model.network = load(OpenWeights(path / "denoiser" / "model.safetensors"), config,
                       config_path.string(), device, dtype);
  if (index.contains("text_encoder")) {
    model.text = text::PromptEncoder::Load(path, device, dtype, model.traits().max_text_tokens);
  }
  CheckText(model, path);
  model.defaults = DefaultsOf(model.traits());
  static constexpr std::array<std::string_view, 10> kPresets = {
      "width",           "height",    "frames",      "fps",
      "steps",           "cfg_scale", "cfg_rescale", "guidance_interval",
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
  const NamedConfig config = ConfigOf(weights);
  const LoadNetwork load = IsBidimCheckpoint(weights) ? LoadBidimNetwork : LoadHditNetwork;
  model.network = load(weights, config.json, config.source, device, dtype);
  CheckText(model, weights.path);
  model.defaults = DefaultsOf(model.traits());
  return model;
}

EncodedPrompt::EncodedPrompt(const DiffusionModel& model, const Request& request) {
  const int64_t classes = model.traits().num_classes;
  if (classes > 0) rows_.class_cond = ClassLabels(request, classes);
  if (model.text == nullptr) return;
  text::EncodedPrompts encoded = EncodePrompts(*model.text, request);
  rows_.pooled = std::move(encoded.pooled);
  rows_.context = std::move(encoded.context);
  rows_.context_mask = std::move(encoded.context_mask);
}

Conditions EncodedPrompt::Bind(int64_t pictures, bool with_negative) const {
  const auto count = static_cast<size_t>(pictures);
  std::vector<int64_t> rows(with_negative ? count : 0, 0);
  rows.resize(rows.size() + count, 1);
  return {Select(rows_.class_cond, 0, rows), Select(rows_.pooled, 0, rows),
          Select(rows_.context, 0, rows), Select(rows_.context_mask, 0, rows)};
}

}  // namespace gesso
