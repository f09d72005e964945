// One block of DiM and one of DiT with random weights, in any precision: what gesso_bench_blocks
// times.
#pragma once

#include <memory>
#include <string>

#include "kernels/core/context.h"

namespace gesso::bench {

class Block {
 public:
  virtual ~Block() = default;
  // x [1, L, width] f32 -> out, which is not x.
  virtual void Forward(Context& ctx, ConstView x, View out) const = 0;
  virtual int64_t parameters() const = 0;
  // What the weights of products take, as packed.
  virtual size_t weight_bytes() const = 0;
};

// `kind`: "dim" (adaLN, Mamba) or "dit" (adaLN, attention, MLP of 4 times the width; heads of 64);
// `precision`: float32, bfloat16, or a type of low_bit.h over bfloat16. Integer products get scales
// of inputs fixed on `sample` [1, L, width] if it is not empty. Throws kUsage for other names.
std::unique_ptr<Block> MakeBlock(const std::string& kind, const std::string& precision,
                                 int64_t width, ConstView sample);

}  // namespace gesso::bench
