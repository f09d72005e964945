// The sites at which a policy may act inside a next-scale model: whole scales, layers, the tokens
// that a branch computes, the keys that a layer keeps. Models ask; cache/ answers. A model without
// hooks asks nothing, and the answers of this base class change no bit of the result.
#pragma once

#include <memory>
#include <span>

#include "kernels/core/context.h"

namespace gesso {

// A scale's grid of tokens, row-major.
struct TokenMap {
  int64_t height = 1;
  int64_t width = 1;

  int64_t tokens() const { return height * width; }
  bool operator==(const TokenMap&) const = default;
};

// The residual branches of a block: x += branch(norm(x)).
enum class Branch { kSelfAttention, kCrossAttention, kFeedForward };

struct Site {
  int64_t layer = 0;
  Branch branch = Branch::kSelfAttention;
  int64_t scale = 0;  // index in the schedule, also where scales are skipped
  TokenMap map;
};

// One object a session: it may remember what it saw. R = rows of the batch (with guidance the
// conditional pictures, then the unconditional ones), N = tokens of the site's map, C = width.
// Results live on ctx.arena and last until the model leaves the branch. Everything works on the
// meta device as well, where shapes alone count.
class Hooks {
 public:
  virtual ~Hooks() = default;

  // A new session begins with these scales.
  virtual void Begin(std::span<const TokenMap> /*schedule*/, int64_t /*layers*/) {}

  // The state for a session that goes on with the rows `rows` of this one.
  virtual std::unique_ptr<Hooks> Fork(std::span<const int64_t> rows) const = 0;

  // Whether the network runs at this scale at all. A scale left out adds nothing to the picture.
  virtual bool RunsScale(int64_t /*scale*/) const { return true; }

  // Whether a layer runs at this scale; one that does not leaves x and its cache as they are.
  virtual bool RunsLayer(int64_t /*layer*/, int64_t /*scale*/) const { return true; }

  // The tokens that the branch computes: [R, K] i32, ascending in each row; empty = all. x
  // [R, N, C] f32 is the residual stream before the branch's norm.
  virtual ConstView SelectTokens(Context& /*ctx*/, const Site& /*site*/, ConstView /*x*/) {
    return {};
  }

  // After a branch computed only `tokens`: adds it to x [R, N, C] f32, for every token. `computed`
  // [R, K, C] f32 is what the branch adds (gate included) at those tokens. A policy that selects
  // tokens implements it.
  virtual void AddSelected(Context& /*ctx*/, const Site& /*site*/, ConstView /*tokens*/,
                           ConstView /*computed*/, View /*x*/) {
    Fail(ErrorKind::kInternal, "a policy selects tokens and does not restore the others");
  }

  // Whether SeeBranch shall be called at this site, where the branch computes all tokens.
  virtual bool WantsBranch(const Site& /*site*/) const { return false; }
  // added [R, N, C] f32 is what the branch adds to x (gate included).
  virtual void SeeBranch(Context& /*ctx*/, const Site& /*site*/, ConstView /*added*/) {}

  // The most keys that a layer keeps from a scale to the next where RetainKeys drops none: what a
  // model reserves. Those of the last scale that runs the layer are not kept. `unpruned` = all
  // tokens of the schedule but the last scale's.
  virtual int64_t CacheCapacity(int64_t /*layer*/, int64_t unpruned) const { return unpruned; }

  // The tokens of the map whose queries decide what the layer's cache keeps after this scale;
  // empty = it keeps all, and RetainKeys is not asked.
  virtual std::span<const int32_t> QueryTokens(const Site& /*site*/) const { return {}; }

  // The keys that stay, [R, H, n] i32, ascending in each head; empty = all. queries [R, W, H, D]
  // f32 of the tokens QueryTokens named, without bias, normalisation, scale and rotation; keys
  // [R, T, H, D] f32 or bf16 (strides free) as cached, those of this scale last.
  virtual ConstView RetainKeys(Context& /*ctx*/, const Site& /*site*/, ConstView /*queries*/,
                               ConstView /*keys*/) {
    return {};
  }
};

}  // namespace gesso
