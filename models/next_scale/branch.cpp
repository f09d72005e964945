#include "models/next_scale/branch.h"

#include <array>

#include "kernels/elementwise.h"
#include "kernels/token.h"

namespace gesso::next_scale {

bool IsLast(const Hooks* hooks, int64_t layer, int64_t scale, int64_t scales) {
  while (++scale < scales) {
    if (hooks == nullptr || (hooks->RunsScale(scale) && hooks->RunsLayer(layer, scale))) {
      return false;
    }
  }
  return true;
}

Modulation ModulationOf(ConstView rows, int64_t branches, int64_t index) {
  const int64_t width = rows.shape[1] / (3 * branches);
  const auto chunk = [&](int64_t i) { return rows.Slice(1, i * width, (i + 1) * width); };
  return {.gamma = chunk(index),
          .scale = chunk(branches + index),
          .shift = chunk(2 * branches + index)};
}

LayerNormArgs Modulated(const Pass& pass, const Modulation& modulation, float eps, ConstView x) {
  return {.x = x,
          .scale = modulation.scale,
          .shift = modulation.shift,
          .scale_offset = 1,
          .eps = eps,
          .out = pass.ctx.arena->Alloc(x.shape, pass.activation)};
}

ConstView RowsAt(const Pass& pass, ConstView tokens, ConstView x) {
  if (tokens.empty()) return x;
  const View rows = pass.ctx.arena->Alloc({x.shape[0], tokens.shape[1], x.shape[2]}, DType::kF32);
  SelectTokens(pass.ctx, {.x = x, .ids = tokens, .out = rows});
  return rows;
}

void AddBranch(const Pass& pass, const Site& site, ConstView tokens, ConstView gamma, View y,
               View x) {
  Context& ctx = pass.ctx;
  const bool watched = pass.hooks != nullptr && tokens.empty() && pass.hooks->WantsBranch(site);
  View added = y;
  if (!gamma.empty() && (watched || !tokens.empty())) {
    // Not in place where it is only shown: x is to get the bits that it gets unwatched.
    if (watched) added = ctx.arena->Alloc(y.shape, DType::kF32);
    GatedAdd(ctx, {.residual = {}, .x = y, .gate = gamma, .out = added});
  }
  if (watched) pass.hooks->SeeBranch(ctx, site, added);
  if (!tokens.empty()) {
    pass.hooks->AddSelected(ctx, site, tokens, added, x);
  } else if (!gamma.empty()) {
    GatedAdd(ctx, {.residual = x, .x = y, .gate = gamma, .out = x});
  } else {
    const std::array<Term, 2> sum = {{{1, x}, {1, y}}};
    LinearCombination(ctx, {.terms = sum, .out = x});
  }
}

}  // namespace gesso::next_scale
