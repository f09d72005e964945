// Tiles cover a picture whatever their shift, and are invisible where a network does not look
// around.
#include "samplers/tiled_denoiser.h"

#include <algorithm>
#include <set>

#include "tests/samplers/support.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::RandomTensor;
using testing_support::SameBits;

TEST(TileRow, CoversEverythingAtEveryShift) {
  for (const auto& [side, tile, overlap] : std::vector<std::array<int64_t, 3>>{
           {40, 16, 4}, {41, 16, 8}, {16, 16, 4}, {9, 16, 4}, {100, 16, 0}, {17, 16, 15}}) {
    for (int64_t shift = 0; shift < tile - overlap; ++shift) {
      const TileRow row(side, tile, overlap, shift);
      EXPECT_EQ(row.tile(), std::min(side, tile));
      EXPECT_EQ(row.Begin(0), 0);
      EXPECT_EQ(row.Begin(row.count() - 1) + row.tile(), side);
      EXPECT_EQ(row.Shared(0), 0);
      for (int64_t i = 1; i < row.count(); ++i) {
        EXPECT_GT(row.Begin(i), row.Begin(i - 1));
        EXPECT_GE(row.Shared(i), overlap);
        EXPECT_LT(row.Shared(i), row.tile());
      }
    }
  }
}

TEST(TiledDenoiser, IsExactWherePixelsAreOnTheirOwn) {
  FunctionDenoiser pointwise([](ConstView x, double sigma, View denoised) {
    for (int64_t i = 0; i < x.numel(); ++i) {
      denoised.Data<float>()[i] = std::tanh(x.Data<float>()[i] / static_cast<float>(sigma));
    }
  });
  TestContext test;
  const Tensor x = RandomTensor({2, 3, 21, 50}, 1, DType::kF32, 3);
  Tensor whole(x.shape(), DType::kF32);
  Tensor tiled(x.shape(), DType::kF32);
  TiledDenoiser tiles(pointwise, {.height = 8, .width = 16, .overlap = 3});
  for (const double sigma : {80.0, 3.3, 1.0, 0.07}) {
    pointwise.Denoise(test.ctx, x, sigma, whole.mutable_view());
    for (int64_t i = 0; i < x.shape().numel(); ++i) tiled.MutableData<float>()[i] = NAN;
    const void* mark = test.Mark();
    tiles.Denoise(test.ctx, x, sigma, tiled.mutable_view());
    EXPECT_TRUE(SameBits(tiled, whole)) << sigma;
    EXPECT_EQ(test.Mark(), mark);
  }
}

// A denoiser that numbers its calls shows where the tiles lie.
TEST(TiledDenoiser, PutsTilesElsewhereAtEveryLevelAndIsAFunctionOfIt) {
  std::set<std::string> shapes;
  FunctionDenoiser numbered([&](ConstView x, double, View denoised) {
    shapes.insert(x.shape.ToString());
    std::fill_n(denoised.Data<float>(), x.numel(), static_cast<float>(numbered.calls));
  });
  TestContext test;
  const Tensor x({1, 1, 8, 64}, DType::kF32);
  TiledDenoiser tiles(numbered, {.height = 16, .width = 16, .overlap = 4});
  const auto estimate = [&](double sigma) {
    numbered.calls = 0;
    Tensor out(x.shape(), DType::kF32);
    tiles.Denoise(test.ctx, x, sigma, out.mutable_view());
    return std::vector<float>(out.Data<float>(), out.Data<float>() + 64);
  };
  std::set<std::vector<float>> pictures;
  for (const double sigma : {1.0, 0.7, 0.5, 0.33, 0.21, 0.13, 0.08, 0.03}) {
    const std::vector<float> picture = estimate(sigma);
    EXPECT_EQ(estimate(sigma), picture);
    EXPECT_TRUE(std::is_sorted(picture.begin(), picture.end()));
    pictures.insert(picture);
  }
  EXPECT_GE(pictures.size(), 5u);
  EXPECT_EQ(estimate(80), estimate(1.1)) << "they stay until it is decided what is where";
  // Tiles are as high as a picture that is lower than they are.
  EXPECT_EQ(shapes, std::set<std::string>({"[1, 1, 8, 16]"}));
}

TEST(TiledDenoiser, RefusesTilesThatAreAllOverlap) {
  FunctionDenoiser inner([](ConstView, double, View) {});
  ExpectError(ErrorKind::kUsage, "tiles of 8 x 16 cannot overlap by 8",
              [&] { TiledDenoiser(inner, {.height = 16, .width = 8, .overlap = 8}); });
}

}  // namespace
}  // namespace gesso
