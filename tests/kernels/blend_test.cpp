// FadeIn and Hold on values, and over memory that holds nothing.
#include "kernels/blend.h"

#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;

TEST(FadeIn, MixesRowsAndColumns) {
  Tensor x({1, 1, 2, 3}, DType::kF32);
  Tensor out({1, 1, 2, 3}, DType::kF32);
  for (int i = 0; i < 6; ++i) x.MutableData<float>()[i] = 1;
  Context ctx;
  FadeIn(ctx, {.x = x, .rows = 1, .columns = 2, .out = out.mutable_view()});
  const float want[] = {0.125f, 0.375f, 0.5f, 0.25f, 0.75f, 1};
  for (int i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(out.Data<float>()[i], want[i]) << i;
}

TEST(FadeIn, CopiesWhatDoesNotFadeWhateverWasThere) {
  const Tensor x = testing_support::RandomTensor({2, 3, 4, 5}, 1);
  Tensor picture({2, 3, 8, 9}, DType::kF32);
  for (int64_t i = 0; i < picture.shape().numel(); ++i) picture.MutableData<float>()[i] = NAN;
  const View part = picture.mutable_view().Slice(2, 3, 7).Slice(3, 2, 7);
  Context ctx;
  FadeIn(ctx, {.x = x, .out = part});
  EXPECT_TRUE(testing_support::SameBits(Cast(part, DType::kF32), x));
  EXPECT_TRUE(std::isnan(*picture.Data<float>()));
}

TEST(FadeInErrors, NameTheArgument) {
  Context ctx;
  const Tensor x({1, 1, 2, 3}, DType::kF32);
  Tensor out({1, 1, 2, 4}, DType::kF32);
  ExpectError(ErrorKind::kShape, "fade_in: out",
              [&] { FadeIn(ctx, {.x = x, .out = out.mutable_view()}); });
  Tensor same({1, 1, 2, 3}, DType::kF32);
  ExpectError(ErrorKind::kShape, "3 rows and 0 columns",
              [&] { FadeIn(ctx, {.x = x, .rows = 3, .out = same.mutable_view()}); });
}

TEST(Hold, PutsBackWhatIsBelowTheThreshold) {
  const Tensor known = testing_support::RandomTensor({1, 2, 2, 3}, 1);
  const Tensor before = testing_support::RandomTensor({2, 2, 2, 3}, 2);
  Tensor out = Cast(before, DType::kF32);
  Tensor amount({2, 3}, DType::kF32);
  const float amounts[] = {0, 0.25f, 0.5f, 0.75f, 1, 0.499f};
  std::copy_n(amounts, 6, amount.MutableData<float>());
  Context ctx;
  Hold(ctx, {.known = known, .amount = amount, .threshold = 0.5, .out = out.mutable_view()});
  for (int64_t i = 0; i < 24; ++i) {
    const bool held = amounts[i % 6] < 0.5f;
    EXPECT_EQ(out.Data<float>()[i], held ? known.Data<float>()[i % 12] : before.Data<float>()[i]);
  }
}

TEST(HoldErrors, NameTheArgument) {
  Context ctx;
  const Tensor known({1, 2, 2, 3}, DType::kF32);
  const Tensor amount({3, 2}, DType::kF32);
  Tensor out({2, 2, 2, 3}, DType::kF32);
  ExpectError(ErrorKind::kShape, "hold: amount",
              [&] { Hold(ctx, {.known = known, .amount = amount, .out = out.mutable_view()}); });
}

}  // namespace
}  // namespace gesso
