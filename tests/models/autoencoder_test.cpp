// Tiled decoding against whole tiles put together here.
#include "models/autoencoder/tiled.h"

#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::autoencoder {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

class Tiled : public testing::Test {
 protected:
  void SetUp() override {
    nn::LoadWeights(decoder, RandomWeights(decoder, 1), Device::kCpu, DType::kF32);
  }
  Tensor Decode(const Tensor& latents, const Tiling& tiling) {
    Tensor picture(decoder.PictureShape(latents.shape()), DType::kF32);
    DecodeTiled(ctx, decoder, DType::kF32, latents, tiling, picture.mutable_view());
    return picture;
  }
  // Rows y .. y + height - 1 and columns x .. of the latents, decoded alone.
  Tensor DecodePart(const Tensor& latents, int64_t y, int64_t height, int64_t x, int64_t width) {
    return Decode(Cast(latents.view().Slice(1, y, y + height).Slice(2, x, x + width), DType::kF32),
                  {});
  }

  Decoder decoder{Config{.latent_channels = 4,
                         .width = 32,
                         .multipliers = {1, 2},
                         .res_blocks = 1,
                         .halvings = 1,
                         .mid_attention = true,
                         .conv_name = {},
                         .norm_name = {}}};
  Arena arena{Device::kCpu, 64 << 20};
  Context ctx{.device = Device::kCpu, .arena = &arena};
};

TEST_F(Tiled, OneTileIsTheWholePicture) {
  const Tensor latents = RandomTensor({2, 5, 7, 4}, 1);
  const Tensor whole = Decode(latents, {});
  EXPECT_TRUE(SameBits(Decode(latents, {.tile = 7, .overlap = 3}), whole));
  EXPECT_TRUE(SameBits(Decode(latents, {.tile = 100}), whole));
}

TEST_F(Tiled, NeighboursFadeIntoEachOther) {
  const Tensor latents = RandomTensor({1, 4, 7, 4}, 1);
  // Two tiles of 4 columns would leave an overlap of 1: columns 0..3 and 3..6.
  const Tensor picture = Decode(latents, {.tile = 4, .overlap = 1});
  const Tensor left = DecodePart(latents, 0, 4, 0, 4);
  const Tensor right = DecodePart(latents, 0, 4, 3, 4);
  for (int64_t i = 0; i < picture.shape().numel(); ++i) {
    const int64_t x = i % 14;
    const int64_t row = i / 14;
    const double share = x < 6 ? 0 : x == 6 ? 0.25 : x == 7 ? 0.75 : 1;
    double want = 0;
    if (share < 1) want += (1 - share) * static_cast<double>(left.Data<float>()[row * 8 + x]);
    if (share > 0) want += share * static_cast<double>(right.Data<float>()[row * 8 + x - 6]);
    EXPECT_NEAR(picture.Data<float>()[i], want, 1e-5) << x;
  }
}

TEST_F(Tiled, CornersMixFourTiles) {
  const Tensor latents = RandomTensor({1, 5, 5, 4}, 1);
  // Tiles at 0 and 2 in both directions; pixels 4 and 5 belong to both.
  const Tensor picture = Decode(latents, {.tile = 3, .overlap = 1});
  Tensor parts[2][2];
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 2; ++j) parts[i][j] = DecodePart(latents, 2 * i, 3, 2 * j, 3);
  }
  const double shares[] = {0.25, 0.75};
  for (int64_t y = 4; y < 6; ++y) {
    for (int64_t x = 4; x < 6; ++x) {
      double want = 0;
      for (int64_t i = 0; i < 2; ++i) {
        for (int64_t j = 0; j < 2; ++j) {
          const double row = i == 0 ? 1 - shares[y - 4] : shares[y - 4];
          const double column = j == 0 ? 1 - shares[x - 4] : shares[x - 4];
          const int64_t at = (y - 4 * i) * 6 + x - 4 * j;
          want += row * column * static_cast<double>(parts[i][j].Data<float>()[at]);
        }
      }
      EXPECT_NEAR(picture.Data<float>()[y * 10 + x], want, 1e-5);
    }
  }
}

TEST_F(Tiled, ManyTilesCoverEverything) {
  // Constant latents without a border effect inside a tile would give one colour; here it is enough
  // that no pixel stays unset and that all lie between those of the tiles.
  const Tensor latents = RandomTensor({1, 11, 6, 4}, 1);
  Tensor picture(decoder.PictureShape(latents.shape()), DType::kF32);
  for (int64_t i = 0; i < picture.shape().numel(); ++i) picture.MutableData<float>()[i] = NAN;
  DecodeTiled(ctx, decoder, DType::kF32, latents, {.tile = 4, .overlap = 2},
              picture.mutable_view());
  for (int64_t i = 0; i < picture.shape().numel(); ++i) {
    EXPECT_TRUE(std::isfinite(picture.Data<float>()[i])) << i;
  }
}

TEST_F(Tiled, TakesTheMemoryOfATile) {
  const auto peak = [&](const Shape& latents, const Tiling& tiling) {
    Arena meta(Device::kMeta, 0);
    Arena outside(Device::kMeta, 0);
    Context dry{.device = Device::kMeta, .arena = &meta};
    DecodeTiled(dry, decoder, DType::kF32, outside.Alloc(latents, DType::kF32), tiling,
                outside.Alloc(decoder.PictureShape(latents), DType::kF32));
    return meta.peak_bytes();
  };
  EXPECT_LT(peak({1, 64, 64, 4}, {.tile = 16, .overlap = 4}), peak({1, 64, 64, 4}, {}) / 6);
}

TEST_F(Tiled, RefusesTilesThatCannotOverlap) {
  const Tensor latents = RandomTensor({1, 5, 5, 4}, 1);
  ExpectError(ErrorKind::kUsage, "tiles of 3 cannot overlap by 3",
              [&] { Decode(latents, {.tile = 3, .overlap = 3}); });
  ExpectError(ErrorKind::kUsage, "tiles of -1", [&] { Decode(latents, {.tile = -1}); });
  const Tensor wide({1, 5, 5, 3}, DType::kF32);
  Tensor picture({1, 3, 10, 10}, DType::kF32);
  ExpectError(ErrorKind::kShape, "expected latents [B, h, w, 4]",
              [&] { DecodeTiled(ctx, decoder, DType::kF32, wide, {}, picture.mutable_view()); });
}

}  // namespace
}  // namespace gesso::autoencoder
