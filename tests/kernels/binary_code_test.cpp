// Signs to bits and back.
#include "kernels/binary_code.h"

#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;

TEST(SignBits, OnlyWhatIsPositiveGivesOne) {
  const float x[] = {-1, -0.0f, 0, 1e-40f, 3, -INFINITY, INFINITY, NAN};
  uint8_t bits[8];
  Context ctx;
  SignBits(ctx, {ConstView(x, {2, 4}, DType::kF32), View(bits, {2, 4}, DType::kU8)});
  const uint8_t want[] = {0, 0, 0, 1, 1, 0, 1, 0};
  for (int i = 0; i < 8; ++i) EXPECT_EQ(bits[i], want[i]) << i;
}

TEST(BitCodes, AreThePositiveOrNegativeMagnitude) {
  const uint8_t bits[] = {0, 1, 255};
  float codes[3];
  Context ctx;
  BitCodes(ctx, {ConstView(bits, {3}, DType::kU8), 0.25f, View(codes, {3}, DType::kF32)});
  EXPECT_EQ(codes[0], -0.25f);
  EXPECT_EQ(codes[1], 0.25f);
  EXPECT_EQ(codes[2], 0.25f);
}

TEST(BinaryCodeErrors, NameTheArgument) {
  Context ctx;
  Tensor x({2, 3}, DType::kF32);
  Tensor bits({3, 2}, DType::kU8);
  ExpectError(ErrorKind::kShape, "sign_bits: bits", [&] {
    SignBits(ctx, {x, bits.mutable_view()});
  });
  ExpectError(ErrorKind::kUnsupported, "bit_codes: bits", [&] {
    BitCodes(ctx, {x, 1, x.mutable_view()});
  });
  ExpectError(ErrorKind::kShape, "bit_codes: codes", [&] {
    BitCodes(ctx, {bits, 1, x.mutable_view()});
  });
}

}  // namespace
}  // namespace gesso
