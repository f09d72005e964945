// Speculative Jacobi decoding: a whole window of drafted tokens goes through the network at once,
// and those that the network could as well have drawn itself are kept. Exact: the tokens follow
// the same distribution as those drawn one by one.
//
// Teng et al. 2024, "Accelerating Auto-regressive Text-to-Image Generation with Training-free
// Speculative Jacobi Decoding", algorithm 1. Official: tyshiwo1/Accelerating-T2I-AR-with-SJD
// scheduler/jacobi_iteration_lumina_mgpt.py:SpeculativeSampler, renew_sampler._sample.
#pragma once

#include <functional>
#include <vector>

#include "samplers/next_token/next_token_model.h"
#include "samplers/next_token/token_draws.h"

namespace gesso {

// One window of L inputs: input 0 is the last accepted token, 1 .. L - 1 are drafts. Draft i was
// drawn from draft_probs[i]; the network, having seen inputs 0 .. i, gives new_probs[i] for the
// token after input i, and new_tokens[i] has been drawn from it already.
struct DraftWindow {
  std::span<const int32_t> inputs;      // [L]
  std::span<const double> draft_probs;  // [L, V]; row 0 is not looked at
  std::span<const double> new_probs;    // [L, V]
  std::span<int32_t> new_tokens;        // [L]: in, as drawn; out, with those accepted and redrawn
};

// What became of a window: the first `accepted` new_tokens belong to the sequence now, the others
// are the next drafts.
struct WindowVerdict {
  int64_t accepted;                   // 1 .. L
  std::vector<double> residual = {};  // [V]: what the last of them was redrawn from, or empty
};

// Draft i is kept if accept[i] < min(1, new_probs[i - 1][x] / draft_probs[i][x]); accept [L] and
// resample are uniform in [0, 1). After the first one that is not, the token is redrawn from the
// normalised max(0, new_probs[i - 1] - draft_probs[i]). Throws kFormat for a draft outside 0..V
// - 1.
WindowVerdict VerifyWindow(const DraftWindow& window, std::span<const double> accept,
                           double resample);

// Draft i is kept if it equals new_tokens[i - 1] (plain Jacobi iteration): exact for the most
// probable tokens only.
WindowVerdict MatchWindow(const DraftWindow& window);

enum class DraftRule { kSpeculative, kMatching };

struct SpeculativeJacobiOptions {
  int64_t max_new_tokens = 1;  // the last window may go past it
  int64_t window = 16;         // inputs of a call, at most 4096
  // Windows are used for tokens begin .. end - 1 after the prompt, plain decoding elsewhere.
  int64_t window_begin = 0;
  int64_t window_end = 0;
  double guidance_scale = 1;  // scale * (cond - uncond) + uncond, where the model gives both
  int64_t top_k = 0;          // 0: all tokens
  bool draws = true;          // false: the most probable token always
  DraftRule rule = DraftRule::kSpeculative;
  std::vector<int32_t> draft_tokens;  // that fresh drafts are taken from, e.g. all image tokens
};

// What an observer sees of a call of the network. It cancels by throwing Error(kCancelled).
struct NextTokenStep {
  int64_t call;                     // 0 is the prompt's
  std::span<const int32_t> inputs;  // what the network was given
  int64_t accepted;
  std::span<const int32_t> tokens;  // prompt and everything accepted so far
};
using NextTokenObserver = std::function<void(const NextTokenStep&)>;

// The prompt and what follows it, until the call that reaches max_new_tokens. The model's cache
// must be empty. Throws kUsage for options out of range.
std::vector<int32_t> DecodeSpeculativeJacobi(Context& ctx, NextTokenModel& model,
                                             std::span<const int32_t> prompt,
                                             const SpeculativeJacobiOptions& options,
                                             const TokenDraws& draws,
                                             const NextTokenObserver& observer = nullptr);

}  // namespace gesso
