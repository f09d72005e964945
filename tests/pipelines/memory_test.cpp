// What happens where memory is short: clear refusals, and pictures in tiles in place of whole ones.
#include "pipelines/memory.h"

#include <gmock/gmock.h>

#include "kernels/core/error.h"
#include "pipelines/generator.h"
#include "pipelines/next_scale_batch.h"
#include "tests/support/ops.h"
#include "tests/support/pictures.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

class Collector : public GenerateObserver {
 public:
  void OnStep(const StepReport&) override {}
  void OnPicture(const Picture& picture) override { pictures.push_back(picture); }

  std::vector<Picture> pictures;
};

Request LargeCat() {
  Request request = TinyCat();
  request.width = 96;
  request.height = 64;
  request.steps = 2;
  return request;
}

std::vector<Picture> Make(const Request& request) { return PicturesOf<Collector>(request); }

// What one picture takes.
int64_t BytesOf(const Request& request) {
  Generator generator(Device::kCpu);
  Request resolved = generator.Resolve(request);
  return generator.ModelOf(resolved).Prepare(resolved)->MakeBatch(1, nullptr)->ArenaBytes();
}

Request Tiled() {
  Request tiled = LargeCat();
  tiled.tile_size = 32;  // the model's own size
  return tiled;
}

TEST(Memory, IsRefusedWithBothNumbers) {
  EXPECT_GT(AvailableMemory(), 0);
  EXPECT_NO_THROW(RequireMemory(1, "a byte"));
  ExpectError(ErrorKind::kMemory, "9223372036854775807 bytes",
              [] { RequireMemory(INT64_MAX, "the sky"); });
  {
    const MemoryLimit limit(100);
    EXPECT_EQ(AvailableMemory(), 100);
    ExpectError(ErrorKind::kMemory, "it needs 101 bytes (0.00 GiB), 100",
                [] { RequireMemory(101, "a word"); });
  }
  EXPECT_GT(AvailableMemory(), 100);
}

TEST(PicturesWithoutRoom, AreMadeInTilesOfTheModelsSize) {
  ASSERT_LT(BytesOf(Tiled()), BytesOf(LargeCat()));
  const Picture wanted = Make(Tiled()).at(0);
  Request request = LargeCat();
  request.batch_count = 3;
  std::vector<Picture> pictures;
  testing::internal::CaptureStdout();  // where warnings go that no program has sent to stderr
  {
    const MemoryLimit limit(BytesOf(Tiled()));
    pictures = Make(request);
  }
  const std::string said = testing::internal::GetCapturedStdout();
  const std::string warning = "a picture of 96 x 64 will not fit";
  EXPECT_THAT(said, testing::HasSubstr(warning));
  EXPECT_THAT(said, testing::HasSubstr("made in tiles of 32 pixels, the model's own size"));
  EXPECT_EQ(said.find(warning), said.rfind(warning));  // once
  ASSERT_EQ(pictures.size(), 3u);
  EXPECT_EQ(pictures[0].image.pixels, wanted.image.pixels);
  // The settings make the picture again where there is room.
  for (const size_t i : {size_t{0}, size_t{2}}) {
    EXPECT_EQ(pictures[i].request.tile_size, 32);
    EXPECT_EQ(pictures[i].request.tile_overlap, wanted.request.tile_overlap);
    EXPECT_EQ(Make(pictures[i].request).at(0).image.pixels, pictures[i].image.pixels);
  }
}

TEST(PicturesWithoutRoom, StayWholeWhereTheyFit) {
  const MemoryLimit limit(BytesOf(LargeCat()));
  const Picture picture = Make(LargeCat()).at(0);
  EXPECT_FALSE(picture.request.tile_size);
  EXPECT_NE(picture.image.pixels, Make(Tiled()).at(0).image.pixels);
}

TEST(PicturesWithoutRoom, AreAsTheRequestSays) {
  const int64_t room = BytesOf(Tiled());
  Request smaller = LargeCat();
  smaller.tile_size = 16;
  const MemoryLimit limit(room);
  EXPECT_EQ(Make(smaller).at(0).request.tile_size, 16);
  Request whole = LargeCat();
  whole.tile_size = 0;
  ExpectError(ErrorKind::kMemory, "a picture of 96 x 64 will not fit", [&] { Make(whole); });
}

TEST(PicturesWithoutRoom, AreRefusedWhereTilesDoNotFitEither) {
  const int64_t room = BytesOf(Tiled()) - 1;
  const MemoryLimit limit(room);
  ExpectError(ErrorKind::kMemory, "nor made in tiles of 32 pixels", [] { Make(LargeCat()); });
}

TEST(PicturesWithoutRoom, OfTheModelsSizeHaveNoTiles) {
  Request own = LargeCat();
  own.width = own.height = 32;
  const MemoryLimit limit(1);
  try {
    Make(own);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kMemory);
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("in tiles of")));
  }
}

TEST(PicturesWithoutRoom, AreDecodedInSmallerTilesThanTheyWouldBe) {
  const auto sides = [](int64_t width, int64_t height, std::optional<int64_t> asked = {}) {
    Request request;
    request.width = width;
    request.height = height;
    request.vae_tile_size = asked;
    std::vector<int64_t> tiles;
    for (const TiledSettings& way : InDecoderTiles(request, 16)) {
      tiles.push_back(way.request.vae_tile_size.value());
      EXPECT_EQ(way.request.width, width);
    }
    return tiles;
  };
  using testing::ElementsAre;
  EXPECT_THAT(sides(1024, 1024), ElementsAre(512, 256, 128));
  EXPECT_THAT(sides(2048, 2048), ElementsAre(256, 128));  // 512 without being asked
  EXPECT_THAT(sides(256, 128), ElementsAre(128));
  EXPECT_THAT(sides(128, 128), ElementsAre());
  EXPECT_THAT(sides(1024, 1024, 0), ElementsAre());
  EXPECT_THAT(sides(1024, 1024, 256), ElementsAre());
}

}  // namespace
}  // namespace gesso
