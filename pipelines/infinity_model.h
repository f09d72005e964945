// An Infinity with its tokenizer and text encoder, loaded and ready: the published files as they
// are, or a folder in the style of diffusers (model_index.json, transformer/, vae/, text_encoder/,
// tokenizer/). Const after loading.
#pragma once

#include <filesystem>
#include <memory>

#include "models/bsq_vae/model.h"
#include "models/infinity/model.h"
#include "models/text/prompt_encoder.h"
#include "pipelines/request.h"

namespace gesso {

struct InfinityModel {
  std::shared_ptr<const infinity::Model> transformer;
  std::shared_ptr<const bsq_vae::Model> vae;
  std::shared_ptr<const text::PromptEncoder> text;
  Request defaults;  // size, guidance and how tokens are drawn

  // Side in pixels of what a token of the transformer stands for.
  int64_t token_pixels() const {
    return transformer->config.patch() * vae->config().decoder.stride();
  }
};

// Whether a bare checkpoint holds an Infinity's transformer.
bool IsInfinityCheckpoint(const Weights& weights);

// Throw kIo, kFormat, kConfig or kUnsupported, naming file and field.
InfinityModel LoadInfinityModel(const std::filesystem::path& folder, Device device, DType dtype);
// A transformer as its authors publish it (infinity_2b_reg.pth, the folder infinity_8b_weights).
// Beside the file, or in the folder or beside it, lie its tokenizer (infinity_vae_d32reg.pth and so
// on, by the bits of a token; a config <name>.json counts where there is one) and the text encoder,
// the folder flan-t5-xl.
InfinityModel MakeInfinityModel(Weights weights, Device device, DType dtype);

}  // namespace gesso
