// Text to token ids with a SentencePiece model, in T5's convention: the pieces, then </s>.
//
// Kudo and Richardson 2018, "SentencePiece". Official: google/sentencepiece; huggingface/
// transformers models/t5/tokenization_t5.py:T5Tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace gesso::text {

struct TokenIds {
  std::vector<int32_t> ids;  // at least one: </s>
  bool truncated = false;    // the text was longer than the limit
};

class Tokenizer {
 public:
  // Reads a spiece.model file. Throws kIo, or kFormat where it is no SentencePiece model or has no
  // </s>.
  explicit Tokenizer(const std::filesystem::path& model);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // At most `max_tokens` (>= 1) ids, the last of which is </s>. Any bytes will do: those that are
  // not valid UTF-8 count as U+FFFD, which most models do not know (<unk>). Names of special tokens
  // in the text are ordinary characters. Thread-safe.
  TokenIds Encode(std::string_view text, int64_t max_tokens) const;

  int64_t vocab_size() const;
  int32_t pad_id() const;  // 0 where the model has none

 private:
  std::filesystem::path path_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace gesso::text
