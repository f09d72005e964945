// The slow truth of kernels/attention.h: the scores of one query at a time, kept in double.
#pragma once

#include "kernels/attention.h"

namespace gesso::ref {

void Attention(Context& ctx, const AttentionArgs& args);
void WindowAttention(Context& ctx, const WindowAttentionArgs& args);
void NeighborhoodAttention(Context& ctx, const NeighborhoodAttentionArgs& args);

}  // namespace gesso::ref
