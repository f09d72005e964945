#include "kernels/ref/binary_code.h"

#include "kernels/core/parallel.h"

namespace gesso::ref {

namespace {

constexpr int64_t kElementsATask = 1 << 16;

}  // namespace

void SignBits(Context&, const SignBitsArgs& args) {
  const float* x = args.x.Data<float>();
  auto* bits = args.bits.Data<uint8_t>();
  ParallelRange(args.x.numel(), kElementsATask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) bits[i] = x[i] > 0 ? 1 : 0;
  });
}

void BitCodes(Context&, const BitCodesArgs& args) {
  const auto* bits = args.bits.Data<uint8_t>();
  float* codes = args.codes.Data<float>();
  ParallelRange(args.bits.numel(), kElementsATask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      codes[i] = bits[i] != 0 ? args.magnitude : -args.magnitude;
  });
}

}  // namespace gesso::ref
