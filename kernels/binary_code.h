// Binary quantisation: one bit a channel, by sign. Zhao et al. 2024, "Image and Video Tokenization
// with Binary Spherical Quantization".
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/op_table.h"

namespace gesso {

// bits[i] = x[i] > 0 ? 1 : 0; zero gives 0.
struct SignBitsArgs {
  ConstView x;  // any shape, f32 contiguous
  View bits;    // like x, u8 contiguous
};
void SignBits(Context& ctx, const SignBitsArgs& args);

// codes[i] = bits[i] != 0 ? magnitude : -magnitude
struct BitCodesArgs {
  ConstView bits;  // any shape, u8 contiguous
  float magnitude = 1;
  View codes;  // like bits, f32 contiguous
};
void BitCodes(Context& ctx, const BitCodesArgs& args);

const OpTable<SignBitsArgs>& SignBitsTable();
const OpTable<BitCodesArgs>& BitCodesTable();

}  // namespace gesso
