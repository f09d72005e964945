#include "models/text/prompt_encoder.h"

#include <algorithm>

#include "kernels/pool.h"

namespace gesso::text {

namespace {

namespace fs = std::filesystem;

// model_max_length of the tokenizer (transformers writes 1e30 for "no limit"), within what the
// encoder was built for.
int64_t MaxTokens(const fs::path& tokenizer_folder, const T5Config& config) {
  const fs::path path = tokenizer_folder / "tokenizer_config.json";
  std::error_code error;
  if (!fs::exists(path, error)) return config.n_positions;
  return WithContext(path.string(), [&] {
    const double limit = GetNumber(ReadJson(path), "model_max_length", 1, 1e300, 1e30);
    return limit < static_cast<double>(config.n_positions) ? static_cast<int64_t>(limit)
                                                           : config.n_positions;
  });
}

}  // namespace

ConstView EncodedPrompts::Tokens(int64_t prompt) const {
  const int64_t longest = context_mask.shape()[1];
  const int32_t* mask = context_mask.Data<int32_t>() + prompt * longest;
  const int64_t length = std::count(mask, mask + longest, 1);
  return context.view()
      .Slice(0, prompt, prompt + 1)
      .Slice(1, 0, length)
      .Reshape({length, context.shape()[2]});
}

PromptEncoder::PromptEncoder(Tokenizer tokenizer, std::shared_ptr<const T5Encoder> encoder,
                             Device device, int64_t max_tokens)
    : tokenizer_(std::move(tokenizer)),
      encoder_(std::move(encoder)),
      device_(device),
      max_tokens_(max_tokens) {
  Require(tokenizer_.vocab_size() <= encoder_->config().vocab_size, ErrorKind::kConfig,
          "the tokenizer has {} pieces, the text encoder's vocabulary {}", tokenizer_.vocab_size(),
          encoder_->config().vocab_size);
}

std::shared_ptr<const PromptEncoder> PromptEncoder::Load(const fs::path& folder, Device device,
                                                         DType dtype, int64_t most_tokens) {
  std::error_code error;
  const bool is_flat = !fs::exists(folder / "model_index.json", error);
  const fs::path encoder_folder = is_flat ? folder : folder / "text_encoder";
  const fs::path tokenizer_folder = is_flat ? folder : folder / "tokenizer";
  const fs::path pieces = tokenizer_folder / "spiece.model";
  Require(fs::exists(pieces, error), ErrorKind::kIo,
          "{}: is missing: put the tokenizer of the text encoder there", pieces.string());
  std::shared_ptr<const T5Encoder> encoder = T5Encoder::Load(
      OpenWeights(encoder_folder), ReadJson(encoder_folder / "config.json"), device, dtype);
  Tokenizer tokenizer(pieces);
  const int64_t max_tokens = std::min(MaxTokens(tokenizer_folder, encoder->config()), most_tokens);
  return WithContext(folder.string(), [&] {
    return std::make_shared<const PromptEncoder>(std::move(tokenizer), std::move(encoder), device,
                                                 max_tokens);
  });
}

EncodedPrompts PromptEncoder::Encode(std::span<const std::string> prompts) const {
  EncodedPrompts result;
  std::vector<TokenIds> rows;
  size_t longest = 1;
  for (const std::string& prompt : prompts) {
    rows.push_back(tokenizer_.Encode(prompt, max_tokens_));
    longest = std::max(longest, rows.back().ids.size());
    result.truncated.push_back(rows.back().truncated);
  }
  const auto batch = static_cast<int64_t>(prompts.size());
  const auto length = static_cast<int64_t>(longest);
  Tensor ids({batch, length}, DType::kI32);
  result.context_mask = Tensor({batch, length}, DType::kI32);
  std::fill_n(ids.MutableData<int32_t>(), batch * length, tokenizer_.pad_id());
  for (size_t b = 0; b < rows.size(); ++b) {
    const size_t begin = b * longest;
    std::ranges::copy(rows[b].ids, ids.MutableData<int32_t>() + begin);
    std::fill_n(result.context_mask.MutableData<int32_t>() + begin, rows[b].ids.size(), 1);
  }
  result.context = Tensor({batch, length, features()}, DType::kF32);
  result.pooled = Tensor({batch, features()}, DType::kF32);
  Arena arena(device_, encoder_->ArenaBytes(batch, length));
  Context ctx{.device = device_, .arena = &arena};
  encoder_->Forward(ctx, ids, result.context_mask, result.context.mutable_view());
  MaskedMean(
      ctx, {.x = result.context, .mask = result.context_mask, .out = result.pooled.mutable_view()});
  return result;
}

}  // namespace gesso::text
