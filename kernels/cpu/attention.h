// Vectorised attention: online softmax over tiles of keys, no matrix of scores.
#pragma once

#include <algorithm>

#include "kernels/attention.h"

namespace gesso::cpu {

void Attention(Context& ctx, const AttentionArgs& args);
void WindowAttention(Context& ctx, const WindowAttentionArgs& args);
void NeighborhoodAttention(Context& ctx, const NeighborhoodAttentionArgs& args);

// Windows along an axis of `length` tokens: window i holds the t with (t + shift) / window == i.
inline int64_t WindowCount(int64_t length, int64_t window, int64_t shift) {
  return (length - 1 + shift) / window + 1;
}
struct WindowRange {
  int64_t begin;
  int64_t end;
};
inline WindowRange WindowAt(int64_t i, int64_t length, int64_t window, int64_t shift) {
  return {std::max<int64_t>(i * window - shift, 0), std::min((i + 1) * window - shift, length)};
}

}  // namespace gesso::cpu
