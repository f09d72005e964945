// Attention over bfloat16 by AMX's tiles, for CPUs that have them: scores and weighted values are
// products in bfloat16 with float32 sums.
#pragma once

#include <optional>
#include <string_view>

#include "kernels/attention.h"

namespace gesso::cpu {

// The reason to refuse other element types, a CPU without the instructions, or so few scores that
// vectors are faster.
std::optional<std::string_view> WhyNotAttentionAmx(const AttentionArgs& args);
std::optional<std::string_view> WhyNotWindowAttentionAmx(const WindowAttentionArgs& args);

void AttentionAmx(Context& ctx, const AttentionArgs& args);
void WindowAttentionAmx(Context& ctx, const WindowAttentionArgs& args);

}  // namespace gesso::cpu
