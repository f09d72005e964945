// Products in float32 by AMX's tiles for bfloat16, each factor in two parts (split-inl.h).
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "kernels/gemm.h"

namespace gesso::cpu {

// Of the implementations in the ops' tables.
constexpr std::string_view kSplitName = "amx_split";

// Whether float32 weights of these ops are packed in two parts here: the CPU has the instructions,
// and no other implementation of the ops is forced.
bool SplitsFloats(std::initializer_list<std::string_view> ops = {"linear", "linear_glu"});

// weight [N, K] f32, bf16 or f16.
PackedMatrix PackSplit(ConstView weight);
// The same row by row: `read` writes the K weights of an output; it is called on all threads.
using ReadRow = std::function<void(int64_t output, float* to)>;
PackedMatrix PackSplit(int64_t rows, int64_t cols, const ReadRow& read);

// The reason to refuse weights that are not from PackSplit, or a CPU without the instructions.
std::optional<std::string_view> WhyNotSplit(const PackedMatrix& weight);

void LinearSplit(Context& ctx, const LinearArgs& args);
void LinearGluSplit(Context& ctx, const LinearGluArgs& args);

}  // namespace gesso::cpu
