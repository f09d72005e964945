#include "kernels/pool.h"

#include <gtest/gtest.h>

#include "tests/support/ops.h"

namespace gesso {
namespace {

TEST(MaskedMean, TakesTheMeanOfTheTokensThatCount) {
  Tensor x({2, 3, 2}, DType::kF32);
  for (int i = 0; i < 12; ++i) x.MutableData<float>()[i] = static_cast<float>(i * i);
  Tensor mask({2, 3}, DType::kI32);
  mask.MutableData<int32_t>()[0] = 1;
  mask.MutableData<int32_t>()[2] = 1;  // picture 1 has no token at all
  Tensor out({2, 2}, DType::kF32);
  Context ctx;
  MaskedMean(ctx, {.x = x, .mask = mask, .out = out.mutable_view()});
  EXPECT_FLOAT_EQ(out.Data<float>()[0], (0 + 16) / 2.f);
  EXPECT_FLOAT_EQ(out.Data<float>()[1], (1 + 25) / 2.f);
  EXPECT_EQ(out.Data<float>()[2], 0);
  EXPECT_EQ(out.Data<float>()[3], 0);
}

TEST(MaskedMean, NamesWhatDoesNotFit) {
  const Tensor x({2, 3, 2}, DType::kF32);
  const Tensor mask({2, 4}, DType::kI32);
  Tensor out({2, 2}, DType::kF32);
  Context ctx;
  const MaskedMeanArgs args{.x = x, .mask = mask, .out = out.mutable_view()};
  testing_support::ExpectError(ErrorKind::kShape, "masked_mean: mask",
                               [&] { MaskedMean(ctx, args); });
}

}  // namespace
}  // namespace gesso
