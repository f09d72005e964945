// Products must not allocate once they are warm: they run thousands of times a picture.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "kernels/conv.h"
#include "kernels/cpu/conv_split.h"
#include "kernels/gemm.h"
#include "tests/support/ops.h"

namespace {

std::atomic<int64_t> allocations{0};

}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace gesso {
namespace {

using testing_support::RandomTensor;

TEST(Allocation, WarmFloat32ProductsDoNotAllocate) {
  const PackedMatrix packed = PackMatrix(Device::kCpu, RandomTensor({256, 96}, 1), DType::kF32);
  const Tensor x = RandomTensor({200, 96}, 2);
  Tensor out({200, 256}, DType::kF32);
  Tensor gated({200, 128}, DType::kBF16);
  Context ctx;
  LinearArgs linear;
  linear.x = x;
  linear.weight = &packed;
  linear.out = out.mutable_view();
  LinearGluArgs glu;
  glu.x = x;
  glu.weight = &packed;
  glu.out = gated.mutable_view();
  for (int run = 0; run < 3; ++run) {
    Linear(ctx, linear);
    LinearGlu(ctx, glu);
  }
  const int64_t before = allocations;
  Linear(ctx, linear);
  LinearGlu(ctx, glu);
  EXPECT_EQ(allocations - before, 0);
}

TEST(Allocation, WarmConvolutionsInPartsDoNotAllocate) {
  if (!cpu::SplitsKernel({48, 32, 3, 3}, {.padding = 1}))
    GTEST_SKIP() << "this CPU has no tiles for bfloat16";
  const PackedKernel packed =
      PackKernel(Device::kCpu, RandomTensor({48, 32, 3, 3}, 1), DType::kF32, {.padding = 1});
  const Tensor x = RandomTensor({2, 20, 20, 32}, 2);
  Tensor out({2, 20, 20, 48}, DType::kF32);
  Context ctx;
  Conv2dArgs args;
  args.x = x;
  args.kernel = &packed;
  args.out = out.mutable_view();
  for (int run = 0; run < 3; ++run) Conv2d(ctx, args);
  const int64_t before = allocations;
  Conv2d(ctx, args);
  EXPECT_EQ(allocations - before, 0);
}

}  // namespace
}  // namespace gesso
