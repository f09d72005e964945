// A model that makes pictures or clips by diffusion, loaded and ready: the denoising network, the
// text encoder it may have, and the settings it is best used with. Const after loading.
//
// It lies in a folder in the style of diffusers (model_index.json, denoiser/, text_encoder/,
// tokenizer/), or is a bare checkpoint whose config is in its metadata or beside it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "models/io/weights.h"
#include "models/text/prompt_encoder.h"
#include "pipelines/diffusion_network.h"
#include "pipelines/request.h"

namespace gesso {

struct DiffusionModel {
  std::shared_ptr<const DiffusionNetwork> network;
  std::shared_ptr<const text::PromptEncoder> text;  // or nullptr
  Request defaults;                                 // size, steps, guidance, sampler and schedule

  const NetworkTraits& traits() const { return network->traits(); }
  bool is_guidable() const { return text != nullptr || traits().num_classes > 0; }
};

// Throws kIo, kFormat, kConfig or kUnsupported, naming file and field.
DiffusionModel LoadDiffusionModel(const std::filesystem::path& path, Device device, DType dtype);
// The same for a bare checkpoint that is open already.
DiffusionModel MakeDiffusionModel(Weights weights, Device device, DType dtype);

// What the pictures of a request shall show, and what guidance leads away from: computed once.
class EncodedPrompt {
 public:
  // Runs the text encoder for a resolved request. Warns where a prompt is longer than it reads.
  EncodedPrompt(const DiffusionModel& model, const Request& request);

  // Rows for `pictures` pictures with the condition; `with_negative`: that many rows without it
  // come first.
  Conditions Bind(int64_t pictures, bool with_negative) const;

 private:
  // Row 0 without, row 1 with the condition.
  Conditions rows_;
};

}  // namespace gesso
