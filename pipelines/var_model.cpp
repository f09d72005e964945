#include "pipelines/var_model.h"

#include <algorithm>
#include <array>
#include <string>

#include "pipelines/model_files.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

// What a trainer's checkpoint puts before the names of VAR's and M-VAR's weights, and what
// PyTorch's DataParallel puts before all.
constexpr std::array<std::string_view, 3> kTrainers = {"trainer.var_wo_ddp.",
                                                       "trainer.mvar_wo_ddp.", "module."};
constexpr std::string_view kMark = "pos_1LC";
constexpr std::string_view kTokenizer = "vae_ch160v4096z32.pth";
constexpr int64_t kWidthADepth = 64;  // official: models/__init__.py:build_vae_var

// How the official demo draws (demo_sample.ipynb).
Request OfficialDefaults() {
  Request defaults;
  defaults.cfg_scale = 4;
  defaults.top_k = 900;
  defaults.top_p = 0.95;
  return defaults;
}

// The tokenizer that all published models share. Official: models/__init__.py:build_vae_var.
Json OfficialTokenizerConfig(const std::vector<int64_t>& patch_nums) {
  return {{"vocab_size", 4096},         {"z_channels", 32},      {"ch", 160},
          {"ch_mult", {1, 1, 2, 2, 4}}, {"num_res_blocks", 2},   {"using_sa", true},
          {"using_mid_sa", true},       {"using_znorm", false},  {"quant_conv_ks", 3},
          {"quant_resi", 0.5},          {"share_quant_resi", 4}, {"v_patch_nums", patch_nums}};
}

// The config that may lie beside a file.
std::string ConfigName(const Weights& weights) {
  return fs::path(weights.path).replace_extension(".json").filename().string();
}

// The published schedules by their number of tokens.
std::vector<int64_t> PatchNums(const Weights& weights) {
  static const std::vector<std::vector<int64_t>> kSchedules = {
      {1, 2, 3, 4, 5, 6, 8, 10, 13, 16},                  // 256 pixels
      {1, 2, 3, 4, 6, 9, 13, 18, 24, 32},                 // 512
      {1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64},  // 1024
  };
  const Shape& shape = weights.At(std::string(kMark)).shape();
  const int64_t tokens = shape.rank() == 3 ? shape[1] : 0;
  for (const std::vector<int64_t>& schedule : kSchedules) {
    int64_t sum = 0;
    for (const int64_t side : schedule) sum += side * side;
    if (sum == tokens) return schedule;
  }
  Fail(ErrorKind::kConfig,
       "{}: has {} positions, which is none of the published sizes; put its config (patch_nums, "
       "depth, ...) beside it as {}",
       weights.path.string(), tokens, ConfigName(weights));
}

int64_t Extent(const Weights& weights, const std::string& name, int axis) {
  const Shape& shape = weights.At(name).shape();
  Require(axis < shape.rank(), ErrorKind::kFormat, "{}: tensor {}: unexpected shape {}",
          weights.path.string(), name, shape);
  return shape[axis];
}

// What the sizes of a published model's weights say.
Json OfficialConfig(const Weights& weights) {
  const int64_t depth = var::CountBlocks(weights);
  const int64_t width = Extent(weights, "class_emb.weight", 1);
  Require(
      width == kWidthADepth * depth, ErrorKind::kFormat,
      "{}: has {} blocks of width {}, but a published model of this width has {}: the file is "
      "cut, or of another layout, of which its config (depth, embed_dim, num_heads, patch_nums) "
      "has to tell beside it as {}",
      weights.path.string(), depth, width, width / kWidthADepth, ConfigName(weights));
  const std::string factors = "blocks.0.attn.scale_mul_1H11";
  const int64_t heads = weights.tensors.contains(factors) ? Extent(weights, factors, 1) : depth;
  Json config = {{"depth", depth},
                 {"embed_dim", width},
                 {"num_heads", heads},
                 {"num_classes", Extent(weights, "class_emb.weight", 0) - 1},
                 {"shared_aln", weights.tensors.contains("shared_ada_lin.1.weight")},
                 {"patch_nums", PatchNums(weights)}};
  if (weights.tensors.contains("blocks.0.mamba.in_proj.weight")) {
    config["mamba"] = {
        {"d_state", 64}, {"d_conv", 4}, {"expand", 2}, {"headdim", 64}, {"ngroups", 1}};
  }
  return config;
}

Weights WithoutTrainer(Weights weights) {
  for (const std::string_view trainer : kTrainers) {
    if (weights.tensors.contains(std::string(trainer) + std::string(kMark))) {
      return weights.Under(trainer);
    }
  }
  return weights;
}

// Throws kConfig unless transformer and tokenizer speak of the same codes and maps.
void CheckTogether(const VarModel& model) {
  const var::Config& config = model.transformer->config;
  const vqvae::QuantizerConfig& codes = model.vae->config().quantizer;
  const auto codebook = fmt::format("{} codes of {} values", codes.vocab_size, codes.z_channels);
  Require(config.vocab_size == codes.vocab_size && config.code_width == codes.z_channels,
          ErrorKind::kConfig,
          "the transformer draws from {} codes of {} values, but this tokenizer has {}",
          config.vocab_size, config.code_width, codebook);
  const auto maps = codes.Maps();
  const bool same = std::ranges::equal(maps, config.patch_nums, [](const auto& map, int64_t side) {
    return map.height == side && map.width == side;
  });
  Require(same, ErrorKind::kConfig,
          "patch_nums of the transformer and v_patch_nums of the tokenizer differ");
}

NamedConfig ReadNamed(const fs::path& path) { return {path.string(), ReadJson(path)}; }

std::shared_ptr<const var::Model> LoadTransformer(Weights weights, const NamedConfig& config,
                                                  Device device, DType dtype) {
  const var::Config parsed =
      WithContext(config.source, [&] { return var::ParseConfig(config.json, weights); });
  return var::Load(std::move(weights), parsed, device, dtype);
}

// The size of its pictures, the only one. Throws kUnsupported for pictures that no file holds.
void SetSize(VarModel& model) {
  const vqvae::Config& config = model.vae->config();
  const int64_t latent = model.transformer->config.patch_nums.back();
  const Shape picture = model.vae->PictureShape({1, latent, latent, config.quantizer.z_channels});
  Require(picture[1] == 1 || picture[1] == 3 || picture[1] == 4, ErrorKind::kUnsupported,
          "the tokenizer makes pictures of {} channels; PNG files hold 1, 3 or 4", picture[1]);
  model.defaults.height = picture[2];
  model.defaults.width = picture[3];
}

}  // namespace

bool IsVarCheckpoint(const Weights& weights) {
  const std::string mark(kMark);
  return weights.tensors.contains(mark) ||
         std::ranges::any_of(kTrainers, [&](std::string_view trainer) {
           return weights.tensors.contains(std::string(trainer) + mark);
         });
}

VarModel MakeVarModel(Weights weights, Device device, DType dtype) {
  weights = WithoutTrainer(std::move(weights));
  const std::optional<NamedConfig> config = FindConfig(weights);
  VarModel model;
  const fs::path tokenizer = weights.path.parent_path() / kTokenizer;
  std::error_code error;
  Require(fs::exists(tokenizer, error), ErrorKind::kIo,
          "{}: its tokenizer is missing: put the published file {} beside it",
          weights.path.string(), kTokenizer);
  const Json json = config ? config->json : OfficialConfig(weights);
  const std::string source =
      config ? config->source
             : weights.path.string() + " (config told by the sizes of the weights)";
  model.transformer = LoadTransformer(std::move(weights), {source, json}, device, dtype);
  const Json vae_config = OfficialTokenizerConfig(model.transformer->config.patch_nums);
  model.vae =
      vqvae::Model::Load(OpenWeights(tokenizer), vqvae::ParseConfig(vae_config), device, dtype);
  WithContext(tokenizer.string(), [&] { CheckTogether(model); });
  model.defaults = OfficialDefaults();
  SetSize(model);
  return model;
}

VarModel LoadVarModel(const fs::path& folder, Device device, DType dtype) {
  const fs::path index_path = folder / "model_index.json";
  const Json index = ReadJson(index_path);
  VarModel model;
  model.transformer =
      LoadTransformer(OpenWeights(folder / "transformer" / "model.safetensors"),
                      ReadNamed(folder / "transformer" / "config.json"), device, dtype);
  const NamedConfig vae = ReadNamed(folder / "vae" / "config.json");
  const vqvae::Config vae_config =
      WithContext(vae.source, [&] { return vqvae::ParseConfig(vae.json); });
  model.vae = vqvae::Model::Load(OpenWeights(folder / "vae" / "model.safetensors"), vae_config,
                                 device, dtype);
  WithContext(folder.string(), [&] { CheckTogether(model); });
  if (model.transformer->config.text) {
    model.text = text::PromptEncoder::Load(folder, device, dtype);
    Require(model.text->features() == model.transformer->config.text->dim, ErrorKind::kConfig,
            "{}: the text encoder gives {} values a token, the transformer reads {}",
            folder.string(), model.text->features(), model.transformer->config.text->dim);
  }
  static constexpr std::array<std::string_view, 4> kPresets = {"cfg_scale", "top_k", "top_p",
                                                               "cache"};
  model.defaults = Merge(OfficialDefaults(), ReadDefaults(index, index_path, kPresets));
  SetSize(model);
  return model;
}

}  // namespace gesso
