// CUDA: products of codes whose inputs are rounded by the norm that makes them.
#pragma once

#include "kernels/cuda/device/norm.cuh"
#include "kernels/cuda/device/round_inputs.cuh"
#include "kernels/norm_linear.h"

namespace gesso::cuda {

// Why rows of a norm are not rounded where they are made; decided without a GPU.
inline std::optional<std::string_view> WhyNotRounded(const NormRow& row, const RoundedRows& to) {
  if (to.hadamard > 1) return "inputs that are rotated";
  if (row.size != to.width) return "means of parts of a row";
  if (!row.InQuads() || row.size > kMostInQuads) return "rows that do not stay in registers";
  return std::nullopt;
}

std::optional<std::string_view> WhyNotNormLinear(const NormLinearArgs& args);
void NormLinear(Context& ctx, const NormLinearArgs& args);

}  // namespace gesso::cuda
