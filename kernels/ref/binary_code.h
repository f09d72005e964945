// Signs to bits and back.
#pragma once

#include "kernels/binary_code.h"

namespace gesso::ref {

void SignBits(Context& ctx, const SignBitsArgs& args);
void BitCodes(Context& ctx, const BitCodesArgs& args);

}  // namespace gesso::ref
