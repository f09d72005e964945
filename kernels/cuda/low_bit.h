// CUDA: weights in few bits, which stay so in the device's memory.
//
// Weights alone in few bits (q8, q4, f8): products of a few rows read the codes themselves, a warp
// an output; for many rows some outputs at a time are written out and multiplied by cuBLASLt.
// Integer products (w8a8, w4a8): rows of inputs are rounded, cuBLASLt multiplies integers, and the
// scales are applied in one pass with bias, activation and residual. The same with e4m3 numbers
// (f8a8), where the GPU multiplies them; elsewhere the rounded inputs are multiplied as those of f8
// are.
#pragma once

#include <functional>

#include "kernels/cuda/device/round_inputs.cuh"
#include "kernels/cuda/gemm.h"
#include "kernels/low_bit.h"

namespace gesso::cuda {

// Throws kMemory or kDevice where the device cannot hold it.
PackedMatrix PackLowBit(const LowBitMatrix& matrix, DType dtype);

// With weights that PackLowBit has packed; what the front door and WhyNotLinear have checked.
void LinearLowBit(const LinearArgs& args);
void LinearGluLowBit(const LinearGluArgs& args);

// How products of `rows` rows with `weight` round them, without memory for that; nothing where
// codes are not multiplied.
std::optional<RoundedRows> RoundingOf(const PackedMatrix& weight, int64_t rows);
// Rounds all rows of inputs into memory of the device.
using RoundInputs = std::function<void(const RoundedRows& to)>;
// Such products of inputs that `round` rounds, whatever args.x holds.
void MultiplyCodes(const LinearArgs& args, const RoundInputs& round);
void MultiplyCodes(const LinearGluArgs& args, const RoundInputs& round);

}  // namespace gesso::cuda
