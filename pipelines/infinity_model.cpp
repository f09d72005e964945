#include "pipelines/infinity_model.h"

#include <algorithm>
#include <array>

#include "models/infinity/checkpoint.h"
#include "pipelines/model_files.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "text_proj_for_sos.ca.mat_q";
constexpr std::string_view kTextEncoder = "flan-t5-xl";

// A published tokenizer: bits of a token of the transformer and of the tokenizer, and its names.
struct Tokenizer {
  int64_t bits;
  int64_t codebook_dim;
  std::vector<std::string> names;
};

const std::vector<Tokenizer>& Tokenizers() {
  static const std::vector<Tokenizer> kTable = {
      {16, 16, {"infinity_vae_d16.pth"}},
      {24, 24, {"infinity_vae_d24.pth"}},
      {32, 32, {"infinity_vae_d32reg.pth", "infinity_vae_d32_reg.pth", "infinity_vae_d32.pth"}},
      {56, 14, {"infinity_vae_d56_f8_14_patchify.pth"}},
      {64, 64, {"infinity_vae_d64.pth"}},
  };
  return kTable;
}

// Official: tools/run_infinity.py:load_visual_tokenizer.
Json OfficialConfig(const Tokenizer& tokenizer) {
  const bool patchify = tokenizer.bits != tokenizer.codebook_dim;
  const Json multipliers = patchify ? Json({1, 2, 4, 4}) : Json({1, 2, 4, 4, 4});
  return {{"codebook_dim", tokenizer.codebook_dim},
          {"patch_size", patchify ? 8 : 16},
          {"encoder_ch_mult", multipliers},
          {"decoder_ch_mult", multipliers}};
}

// How the official notebook draws (tools/interactive_infer.ipynb).
Request OfficialDefaults() {
  Request defaults;
  defaults.cfg_scale = 3;
  defaults.temperature = PerScale{{0.5}};
  defaults.top_k = 0;
  defaults.top_p = 0.97;
  return defaults;
}

// Those of the names that can be what the transformer was trained with: of the two kinds of 32 bits
// a file named for the regularised one, infinity_2b_reg.pth, does not go with the other.
std::vector<std::string> NamesFor(const Tokenizer& tokenizer, const fs::path& transformer) {
  constexpr std::string_view kRegularised = "reg";
  const auto is_other = [&](const std::string& name) {
    return name.find(kRegularised) == std::string::npos;
  };
  std::vector<std::string> names = tokenizer.names;
  const bool is_regularised = transformer.stem().string().ends_with(kRegularised);
  if (is_regularised && !is_other(names.front())) {
    std::erase_if(names, is_other);
  }
  return names;
}

// The first of `names` in one of `folders`, or nothing.
fs::path Find(const std::vector<fs::path>& folders, const std::vector<std::string>& names) {
  std::error_code error;
  for (const fs::path& folder : folders) {
    for (const std::string& name : names) {
      if (fs::exists(folder / name, error)) return folder / name;
    }
  }
  return {};
}

int64_t BitsOf(const Weights& transformer) {
  const Shape& shape = transformer.At("word_embed.weight").shape();
  Require(shape.rank() == 2, ErrorKind::kFormat,
          "{}: tensor word_embed.weight: unexpected shape {}", transformer.path.string(), shape);
  return shape[1];
}

std::shared_ptr<const bsq_vae::Model> LoadTokenizer(const Weights& transformer,
                                                    const std::vector<fs::path>& folders,
                                                    Device device, DType dtype) {
  const int64_t bits = BitsOf(transformer);
  const auto known = std::ranges::find(Tokenizers(), bits, &Tokenizer::bits);
  Require(known != Tokenizers().end(), ErrorKind::kUnsupported,
          "{}: its tokens have {} bits, as with no published tokenizer", transformer.path.string(),
          bits);
  const fs::path path = Find(folders, NamesFor(*known, transformer.path));
  Require(!path.empty(), ErrorKind::kIo,
          "{}: its tokenizer is missing: put the published file {} beside it",
          transformer.path.string(), known->names.front());
  const fs::path config = fs::path(path).replace_extension(".json");
  std::error_code error;
  return bsq_vae::Model::Load(OpenWeights(path),
                              fs::exists(config, error) ? ReadJson(config) : OfficialConfig(*known),
                              device, dtype);
}

std::shared_ptr<const text::PromptEncoder> LoadText(const fs::path& folder,
                                                    const infinity::Config& config, Device device,
                                                    DType dtype) {
  std::shared_ptr<const text::PromptEncoder> text =
      text::PromptEncoder::Load(folder, device, dtype);
  Require(text->features() == config.text_channels, ErrorKind::kConfig,
          "{}: the text encoder gives {} values a token, the transformer reads {}", folder.string(),
          text->features(), config.text_channels);
  Require(text->max_tokens() <= config.text_maxlen, ErrorKind::kConfig,
          "{}: the text encoder reads up to {} tokens, the transformer {}", folder.string(),
          text->max_tokens(), config.text_maxlen);
  return text;
}

// A square picture of the largest size, or of the one that the model's name tells.
void SetSize(InfinityModel& model, bool is_half) {
  const int64_t side = (is_half ? 32 : 64) * model.token_pixels();
  if (!model.defaults.width) model.defaults.width = side;
  if (!model.defaults.height) model.defaults.height = side;
}

}  // namespace

bool IsInfinityCheckpoint(const Weights& weights) {
  return infinity::TransformerWeights(weights).tensors.contains(std::string(kMark));
}

InfinityModel MakeInfinityModel(Weights weights, Device device, DType dtype) {
  weights = infinity::TransformerWeights(weights);
  const fs::path folder = fs::absolute(weights.path).parent_path();
  const std::vector<fs::path> folders = {folder, folder.parent_path()};
  const fs::path encoder = Find(folders, {std::string(kTextEncoder)});
  Require(!encoder.empty(), ErrorKind::kIo,
          "{}: its text encoder is missing: put the published folder {} beside it",
          weights.path.string(), kTextEncoder);
  InfinityModel model;
  model.vae = LoadTokenizer(weights, folders, device, dtype);
  const infinity::Config config = infinity::InferConfig(weights, model.vae->config().codebook_dim);
  const bool is_half = folder.filename().string().find("512x512") != std::string::npos;
  model.transformer = infinity::Load(weights, config, device, dtype);
  weights = {};  // the file's memory
  model.text = LoadText(encoder, config, device, dtype);
  model.defaults = OfficialDefaults();
  SetSize(model, is_half);
  return model;
}

InfinityModel LoadInfinityModel(const fs::path& folder, Device device, DType dtype) {
  const fs::path index_path = folder / "model_index.json";
  const Json index = ReadJson(index_path);
  const auto config_of = [&](const char* part) { return folder / part / "config.json"; };
  InfinityModel model;
  model.vae =
      bsq_vae::Model::Load(OpenWeights(folder / "vae"), ReadJson(config_of("vae")), device, dtype);
  const fs::path path = config_of("transformer");
  const infinity::Config config =
      WithContext(path.string(), [&] { return infinity::ParseConfig(ReadJson(path)); });
  Require(config.codebook_dim == model.vae->config().codebook_dim, ErrorKind::kConfig,
          "{}: codebook_dim {} is not the {} of the tokenizer", path.string(), config.codebook_dim,
          model.vae->config().codebook_dim);
  model.transformer = infinity::Load(OpenWeights(folder / "transformer"), config, device, dtype);
  model.text = LoadText(folder, config, device, dtype);
  static constexpr std::array<std::string_view, 7> kPresets = {
      "cfg_scale", "temperature", "top_k", "top_p", "cache", "width", "height"};
  model.defaults = Merge(OfficialDefaults(), ReadDefaults(index, index_path, kPresets));
  SetSize(model, false);
  return model;
}

}  // namespace gesso
