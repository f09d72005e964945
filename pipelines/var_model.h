// A VAR or M-VAR with its tokenizer, loaded and ready: published checkpoints as they are, or a
// folder in the style of diffusers (model_index.json, transformer/, vae/, and for a model that
// takes text text_encoder/ and tokenizer/). Const after loading.
#pragma once

#include <filesystem>
#include <memory>

#include "models/text/prompt_encoder.h"
#include "models/var/model.h"
#include "models/vqvae/model.h"
#include "pipelines/request.h"

namespace gesso {

struct VarModel {
  std::shared_ptr<const var::Model> transformer;
  std::shared_ptr<const vqvae::Model> vae;
  std::shared_ptr<const text::PromptEncoder> text;  // or nullptr: classes
  Request defaults;                                 // size, guidance and how tokens are drawn
};

// Whether a bare checkpoint holds a VAR.
bool IsVarCheckpoint(const Weights& weights);

// Throw kIo, kFormat, kConfig or kUnsupported, naming file and field.
VarModel LoadVarModel(const std::filesystem::path& folder, Device device, DType dtype);
// A transformer as its authors publish it (var_d16.pth); its tokenizer vae_ch160v4096z32.pth lies
// beside it. A config beside it (<name>.json) counts where there is one, else the weights tell.
VarModel MakeVarModel(Weights weights, Device device, DType dtype);

}  // namespace gesso
