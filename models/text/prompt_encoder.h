// Prompts to what a denoiser is conditioned on: tokenizer and T5 encoder of a model folder.
#pragma once

#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/text/t5_encoder.h"
#include "models/text/tokenizer.h"

namespace gesso::text {

// Host memory; D = d_model, L = tokens of the longest prompt.
struct EncodedPrompts {
  Tensor context;               // [B, L, D] f32: the encoder's final states
  Tensor context_mask;          // [B, L] i32: 1 for tokens, 0 for padding
  Tensor pooled;                // [B, D] f32: mean of the states of the tokens
  std::vector<bool> truncated;  // by prompt: it was longer than the encoder reads

  // The states of one prompt's own tokens, [length, D]: its rows of context without the padding.
  ConstView Tokens(int64_t prompt) const;
};

class PromptEncoder {
 public:
  PromptEncoder(Tokenizer tokenizer, std::shared_ptr<const T5Encoder> encoder, Device device,
                int64_t max_tokens);

  // From `folder`/text_encoder (config.json and weights) and `folder`/tokenizer (spiece.model, and
  // tokenizer_config.json with model_max_length where there is one), as diffusers lays them out; or
  // all of it in `folder` itself, as Hugging Face publishes a T5. Prompts are cut to `most_tokens`
  // where the files say nothing smaller.
  static std::shared_ptr<const PromptEncoder> Load(
      const std::filesystem::path& folder, Device device, DType dtype,
      int64_t most_tokens = std::numeric_limits<int64_t>::max());

  int64_t max_tokens() const { return max_tokens_; }  // of a prompt, </s> included
  int64_t features() const { return encoder_->config().d_model; }

  EncodedPrompts Encode(std::span<const std::string> prompts) const;

 private:
  Tokenizer tokenizer_;
  std::shared_ptr<const T5Encoder> encoder_;
  Device device_;
  int64_t max_tokens_;
};

}  // namespace gesso::text
