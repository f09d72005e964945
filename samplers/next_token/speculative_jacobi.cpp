#include "samplers/next_token/speculative_jacobi.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/core/parallel.h"
#include "samplers/next_token/distribution.h"

namespace gesso {

namespace {

constexpr int64_t kMaxWindow = 1 << 12;  // a window holds two distributions for each of its tokens

std::span<const double> Row(std::span<const double> rows, int64_t row, size_t width) {
  return rows.subspan(static_cast<size_t>(row) * width, width);
}

size_t VocabOf(const DraftWindow& window) {
  CHECK(!window.inputs.empty() && window.inputs.size() == window.new_tokens.size());
  return window.new_probs.size() / window.inputs.size();
}

std::vector<double> Residual(std::span<const double> new_probs,
                             std::span<const double> draft_probs) {
  std::vector<double> residual(new_probs.size());
  double sum = 0;
  for (size_t v = 0; v < residual.size(); ++v) {
    residual[v] = std::max(0.0, new_probs[v] - draft_probs[v]);
    sum += residual[v];
  }
  if (sum > 0) {
    for (double& value : residual) value /= sum;
  }
  return residual;
}

void CheckOptions(const SpeculativeJacobiOptions& options, const NextTokenModel& model,
                  std::span<const int32_t> prompt) {
  const int64_t vocab = model.vocab_size();
  const auto is_token = [&](int32_t token) { return token >= 0 && token < vocab; };
  Require(!prompt.empty() && std::ranges::all_of(prompt, is_token), ErrorKind::kUsage,
          "the prompt must hold at least one token, all below {}", vocab);
  Require(options.max_new_tokens >= 1, ErrorKind::kUsage, "max_new_tokens is {}, must be positive",
          options.max_new_tokens);
  Require(options.window >= 1 && options.window <= kMaxWindow, ErrorKind::kUsage,
          "window is {}, must be from 1 to {}", options.window, kMaxWindow);
  Require(options.top_k >= 0, ErrorKind::kUsage, "top_k is {}, must not be negative",
          options.top_k);
  Require(std::ranges::all_of(options.draft_tokens, is_token), ErrorKind::kUsage,
          "draft_tokens must all be below {}", vocab);
  Require(options.window == 1 || !options.draft_tokens.empty(), ErrorKind::kUsage,
          "a window of {} needs draft_tokens to fill it with", options.window);
  Require(options.guidance_scale == 1 || model.has_unconditional(), ErrorKind::kUsage,
          "guidance_scale is {}, but the model has no unconditional branch",
          options.guidance_scale);
}

// The run's state: the window that goes in next, with the distributions its drafts came from.
class Decoder {
 public:
  Decoder(NextTokenModel& model, const SpeculativeJacobiOptions& options, const TokenDraws& draws)
      : model_(model),
        options_(options),
        draws_(draws),
        vocab_(model.vocab_size()),
        width_(static_cast<size_t>(vocab_)) {
    const auto rows = static_cast<size_t>(options.window);
    draft_probs_.resize(rows * width_);
    new_probs_.resize(rows * width_);
    accept_.resize(rows);
  }

  std::span<const int32_t> inputs() const { return inputs_; }

  // The prompt's own call gives one token.
  void Start(std::span<const int32_t> prompt) { inputs_.assign(prompt.begin(), prompt.end()); }

  // Runs the network on the window and decides; returns the tokens to append.
  std::span<const int32_t> Call(Context& ctx, int64_t call) {
    const int64_t rows = call == 0 ? 1 : static_cast<int64_t>(inputs_.size());
    ComputeProbs(ctx, rows);
    new_tokens_.resize(static_cast<size_t>(rows));
    for (int64_t i = 0; i < rows; ++i) {
      const std::span<const double> row = Row(new_probs_, i, width_);
      new_tokens_[static_cast<size_t>(i)] =
          options_.draws ? DrawIndex(row, draws_.Sample(call, i)) : ArgMax(row);
    }
    accepted_ = rows == 1 ? 1 : Judge(call, rows);
    model_.Forget(rows - accepted_);
    return std::span(new_tokens_).first(static_cast<size_t>(accepted_));
  }

  // Makes the next window of `length`: the last accepted token, the tokens behind it as drafts,
  // and fresh drafts.
  void Advance(int64_t next_call, int64_t length) {
    const auto behind = static_cast<int64_t>(new_tokens_.size()) - accepted_;
    const int64_t kept = std::min(behind, length - 1);
    const auto first = new_tokens_.begin() + (accepted_ - 1);
    inputs_.assign(first, first + 1 + kept);
    std::copy_n(new_probs_.begin() + accepted_ * vocab_, kept * vocab_,
                draft_probs_.begin() + vocab_);
    for (int64_t j = 0; static_cast<int64_t>(inputs_.size()) < length; ++j) {
      const auto choices = static_cast<int64_t>(options_.draft_tokens.size());
      const int32_t token =
          options_.draft_tokens[static_cast<size_t>(draws_.Draft(next_call, j, choices))];
      const auto row = draft_probs_.begin() + static_cast<int64_t>(inputs_.size()) * vocab_;
      std::fill_n(row, vocab_, 0.0);
      row[token] = 1;
      inputs_.push_back(token);
    }
  }

 private:
  int64_t Judge(int64_t call, int64_t rows) {
    const size_t size = static_cast<size_t>(rows) * width_;
    const DraftWindow window = {.inputs = inputs_,
                                .draft_probs = std::span(draft_probs_).first(size),
                                .new_probs = std::span(new_probs_).first(size),
                                .new_tokens = new_tokens_};
    if (options_.rule == DraftRule::kMatching) return MatchWindow(window).accepted;
    for (int64_t i = 0; i < rows; ++i) accept_[static_cast<size_t>(i)] = draws_.Accept(call, i);
    return VerifyWindow(window, accept_, draws_.Resample(call)).accepted;
  }

  // new_probs_ of the last `rows` inputs: guidance, top-k, softmax.
  void ComputeProbs(Context& ctx, int64_t rows) {
    const Arena::Scope scope(*ctx.arena);
    const int64_t branches = model_.has_unconditional() ? 2 : 1;
    const View logits = ctx.arena->Alloc({branches, rows, vocab_}, DType::kF32);
    model_.Logits(ctx, inputs_, logits);
    const float* cond = logits.Data<float>();
    const float* uncond = branches == 2 ? cond + rows * vocab_ : cond;
    const double scale = options_.guidance_scale;
    constexpr int64_t kValuesPerTask = 1 << 14;
    ParallelRange(rows, std::max<int64_t>(1, kValuesPerTask / vocab_),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) {
                      const std::span<double> row =
                          std::span(new_probs_).subspan(static_cast<size_t>(i) * width_, width_);
                      for (int64_t v = 0; v < vocab_; ++v) {
                        const double c = cond[i * vocab_ + v];
                        const double u = uncond[i * vocab_ + v];
                        row[static_cast<size_t>(v)] = scale == 1 ? c : scale * (c - u) + u;
                      }
                      SoftmaxTopK(row, options_.top_k);
                    }
                  });
    // One bad logit spoils the whole row.
    for (int64_t i = 0; i < rows; ++i) {
      Require(std::isfinite(new_probs_[static_cast<size_t>(i) * width_]), ErrorKind::kFormat,
              "the logits after input {} are not finite: the model's weights are broken", i);
    }
  }

  NextTokenModel& model_;
  const SpeculativeJacobiOptions& options_;
  const TokenDraws& draws_;
  int64_t vocab_;
  size_t width_;                     // vocab_ again, for spans
  std::vector<int32_t> inputs_;      // [L]
  std::vector<double> draft_probs_;  // [window, V]
  std::vector<double> new_probs_;    // [window, V]
  std::vector<int32_t> new_tokens_;  // [L]
  std::vector<double> accept_;       // [window]
  int64_t accepted_ = 0;
};

}  // namespace

WindowVerdict VerifyWindow(const DraftWindow& window, std::span<const double> accept,
                           double resample) {
  const size_t vocab = VocabOf(window);
  const auto length = static_cast<int64_t>(window.inputs.size());
  const auto is_token = [&](int32_t token) { return token >= 0 && std::cmp_less(token, vocab); };
  Require(std::ranges::all_of(window.inputs.subspan(1), is_token), ErrorKind::kFormat,
          "a draft is no token of a vocabulary of {}", vocab);
  for (int64_t i = 1; i < length; ++i) {
    const int32_t draft = window.inputs[static_cast<size_t>(i)];
    const std::span<const double> drawn_from = Row(window.draft_probs, i, vocab);
    const std::span<const double> wanted = Row(window.new_probs, i - 1, vocab);
    const double u = accept[static_cast<size_t>(i)];
    int32_t& token = window.new_tokens[static_cast<size_t>(i - 1)];
    // 0 / 0 accepts nothing.
    const auto at = static_cast<size_t>(draft);
    if (u < 1 && u < wanted[at] / drawn_from[at]) {
      token = draft;
      continue;
    }
    WindowVerdict verdict = {.accepted = i, .residual = Residual(wanted, drawn_from)};
    const int32_t redrawn = DrawIndex(verdict.residual, resample);
    // Rounding may leave nothing to redraw from; both distributions are the same then.
    if (redrawn >= 0) token = redrawn;
    return verdict;
  }
  return {.accepted = length};
}

WindowVerdict MatchWindow(const DraftWindow& window) {
  const size_t length = window.inputs.size();
  size_t i = 1;
  while (i < length && window.inputs[i] == window.new_tokens[i - 1]) ++i;
  return {.accepted = static_cast<int64_t>(i)};
}

std::vector<int32_t> DecodeSpeculativeJacobi(Context& ctx, NextTokenModel& model,
                                             std::span<const int32_t> prompt,
                                             const SpeculativeJacobiOptions& options,
                                             const TokenDraws& draws,
                                             const NextTokenObserver& observer) {
  CheckOptions(options, model, prompt);
  const auto prompt_length = static_cast<int64_t>(prompt.size());
  std::vector<int32_t> tokens(prompt.begin(), prompt.end());
  Decoder decoder(model, options, draws);
  decoder.Start(prompt);
  for (int64_t call = 0;; ++call) {
    // Tokens after the prompt before this call: they decide the next window, not this one's.
    const auto before = static_cast<int64_t>(tokens.size()) - prompt_length;
    const std::span<const int32_t> accepted = decoder.Call(ctx, call);
    tokens.insert(tokens.end(), accepted.begin(), accepted.end());
    if (observer) {
      observer({.call = call,
                .inputs = decoder.inputs(),
                .accepted = static_cast<int64_t>(accepted.size()),
                .tokens = tokens});
    }
    if (static_cast<int64_t>(tokens.size()) - prompt_length >= options.max_new_tokens) {
      return tokens;
    }
    const bool in_interval = before >= options.window_begin && before < options.window_end;
    decoder.Advance(call + 1,
                    in_interval ? std::min(options.window, options.window_end - before) : 1);
  }
}

}  // namespace gesso
