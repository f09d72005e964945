#include "models/text/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>

#include "kernels/core/error.h"
#include "models/io/json.h"

namespace gesso::text {

namespace {

constexpr size_t kMaxModelBytes = size_t{64} << 20;
// More than any encoder reads. What lies behind is cut off before it costs time.
constexpr size_t kMaxTextBytes = size_t{64} << 10;

// The first bytes of `text`, not cutting a character in two.
std::string_view Head(std::string_view text) {
  if (text.size() <= kMaxTextBytes) return text;
  size_t end = kMaxTextBytes;
  constexpr int kMaxContinuation = 3;
  for (int i = 0; i < kMaxContinuation; ++i) {
    const bool continues = (static_cast<unsigned char>(text[end]) & 0xc0u) == 0x80u;
    if (continues) --end;
  }
  return text.substr(0, end);
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& model)
    : path_(model), processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  const auto status = processor_->LoadFromSerializedProto(ReadFile(model, kMaxModelBytes));
  Require(status.ok(), ErrorKind::kFormat, "{}: is no SentencePiece model ({})", model.string(),
          status.ToString());
  Require(processor_->eos_id() >= 0, ErrorKind::kFormat, "{}: the model has no </s>",
          model.string());
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

TokenIds Tokenizer::Encode(std::string_view text, int64_t max_tokens) const {
  CHECK(max_tokens >= 1);
  const std::string_view head = Head(text);
  std::vector<int> pieces;
  const auto status = processor_->Encode(head, &pieces);
  Require(status.ok(), ErrorKind::kFormat, "{}: cannot encode the text ({})", path_.string(),
          status.ToString());
  const size_t kept = std::min(pieces.size(), static_cast<size_t>(max_tokens) - 1);
  TokenIds result;
  result.truncated = kept < pieces.size() || head.size() < text.size();
  result.ids.assign(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(kept));
  result.ids.push_back(processor_->eos_id());
  return result;
}

int64_t Tokenizer::vocab_size() const { return processor_->GetPieceSize(); }

int32_t Tokenizer::pad_id() const { return std::max(processor_->pad_id(), 0); }

}  // namespace gesso::text
