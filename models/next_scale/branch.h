// The frame around the residual branches of next-scale transformers: which tokens a branch
// computes, and how its result is added to the residual stream x [R, N, C] f32.
//
// Tian et al. 2024, "Visual autoregressive modeling", section 3. Official: FoundationVision/VAR
// models/basic_var.py:AdaLNSelfAttn.
#pragma once

#include "kernels/norm.h"
#include "models/hooks.h"

namespace gesso::next_scale {

// What the branches of one scale share. R = rows of the batch, N = tokens of the map.
struct Pass {
  Context& ctx;
  DType activation;        // element type of what lies between products
  Hooks* hooks = nullptr;  // optional
  int64_t scale = 0;
  TokenMap map;
  bool is_last = false;      // no later scale runs the layer, so that nobody needs its keys
  bool caches_stay = false;  // where they are, for the next picture
  ConstView cos = {};        // rotary angles [N, head_dim / 2] f32 of the map's tokens, or empty
  ConstView sin = {};        // like cos
};

// Whether `layer` runs at none of the `scales` after `scale`; `hooks` may be null.
bool IsLast(const Hooks* hooks, int64_t layer, int64_t scale, int64_t scales);

// adaLN of one branch: x += gamma * branch(LN(x) * (1 + scale) + shift); each [R, C] f32.
struct Modulation {
  ConstView gamma;
  ConstView scale;
  ConstView shift;
};

// Branch `index` of `branches` in rows [R, 3 * branches * C]: all gammas, then all scales, then
// all shifts.
Modulation ModulationOf(ConstView rows, int64_t branches, int64_t index);

// LN(x) * (1 + scale) + shift for the branch's first layer, [R, K, C] in pass.activation on the
// arena. x [R, K, C] f32.
LayerNormArgs Modulated(const Pass& pass, const Modulation& modulation, float eps, ConstView x);

// x at `tokens` [R, K] i32 on the arena; x itself where tokens is empty.
ConstView RowsAt(const Pass& pass, ConstView tokens, ConstView x);

// Adds gamma * y to x; y [R, K, C] f32 is the branch at `tokens` and may be overwritten. gamma may
// be empty: 1.
void AddBranch(const Pass& pass, const Site& site, ConstView tokens, ConstView gamma, View y,
               View x);

// x += gamma * branch(x). compute(tokens, rows, residual, out) writes the branch of rows [R, K, C]
// f32 (x at `tokens`, all of it where tokens is empty), plus `residual` unless that is empty, to
// out [R, K, C] f32.
template <class Compute>
void RunBranch(const Pass& pass, Branch branch, int64_t layer, ConstView gamma, View x,
               const Compute& compute) {
  const Arena::Scope scope(*pass.ctx.arena);
  const Site site{.layer = layer, .branch = branch, .scale = pass.scale, .map = pass.map};
  const ConstView tokens =
      pass.hooks == nullptr ? ConstView() : pass.hooks->SelectTokens(pass.ctx, site, x);
  const bool watched = pass.hooks != nullptr && pass.hooks->WantsBranch(site);
  if (gamma.empty() && tokens.empty() && !watched) {
    compute(tokens, ConstView(x), ConstView(x), x);
    return;
  }
  const ConstView rows = RowsAt(pass, tokens, x);
  const View y = pass.ctx.arena->Alloc(rows.shape, DType::kF32);
  compute(tokens, rows, ConstView(), y);
  AddBranch(pass, site, tokens, gamma, y, x);
}

}  // namespace gesso::next_scale
