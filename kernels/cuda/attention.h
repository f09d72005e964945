// CUDA: attention of all kinds, a warp a query, heads of up to 256 channels; by blocks of queries
// on tensor cores (flash), heads of up to 128; and that of wider ones to all keys by cuBLASLt
// (products).
#pragma once

#include "kernels/attention.h"

namespace gesso::cuda {

std::optional<std::string_view> WhyNotAttention(const AttentionArgs& args);
void Attention(Context& ctx, const AttentionArgs& args);
std::optional<std::string_view> WhyNotWindowAttention(const WindowAttentionArgs& args);
void WindowAttention(Context& ctx, const WindowAttentionArgs& args);
std::optional<std::string_view> WhyNotNeighborhoodAttention(const NeighborhoodAttentionArgs& args);
void NeighborhoodAttention(Context& ctx, const NeighborhoodAttentionArgs& args);

std::optional<std::string_view> WhyNotFlashAttention(const AttentionArgs& args);
void FlashAttention(Context& ctx, const AttentionArgs& args);
std::optional<std::string_view> WhyNotProductAttention(const AttentionArgs& args);
void ProductAttention(Context& ctx, const AttentionArgs& args);
std::optional<std::string_view> WhyNotFlashWindowAttention(const WindowAttentionArgs& args);
void FlashWindowAttention(Context& ctx, const WindowAttentionArgs& args);
std::optional<std::string_view> WhyNotFlashNeighborhoodAttention(
    const NeighborhoodAttentionArgs& args);
void FlashNeighborhoodAttention(Context& ctx, const NeighborhoodAttentionArgs& args);

}  // namespace gesso::cuda
