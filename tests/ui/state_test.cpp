// Documents, their tiles, and undo: what every action rests on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipelines/mask/crop.h"
#include "tests/support/files.h"
#include "ui/actions/layer_actions.h"
#include "ui/state/file_space.h"
#include "ui/state/history.h"

namespace gesso::ui {
namespace {

// A picture whose bytes depend on place and `salt`.
Image Pattern(int width, int height, int channels, int salt) {
  Image image{width, height, channels, {}};
  for (int i = 0; i < width * height * channels; ++i) {
    image.pixels.push_back(static_cast<uint8_t>((i * 31 + i / 7 + salt * 57) % 256));
  }
  return image;
}

TEST(TiledImage, GivesBackWhatWasPutIn) {
  const Image image = Pattern(300, 520, 3, 1);
  const TiledImage tiled(image);
  EXPECT_EQ(tiled.tile_count(), 6u);
  EXPECT_EQ(tiled.ToImage().pixels, image.pixels);
  EXPECT_EQ(tiled.At(299, 519)[2], image.pixels.back());
  EXPECT_EQ(tiled.TileBox(5), (Box{256, 512, 300, 520}));
}

TEST(TiledImage, SharesTilesUntilOneIsWritten) {
  TiledImage a(Pattern(600, 300, 1, 1));
  TiledImage b = a;
  for (size_t i = 0; i < a.tile_count(); ++i) EXPECT_EQ(a.tile(i), b.tile(i));
  const uint8_t old = *b.At(0, 0);
  *a.MutableTile(0) = static_cast<uint8_t>(old + 1);
  EXPECT_EQ(*b.At(0, 0), old);
  EXPECT_EQ(*a.At(0, 0), old + 1);
  EXPECT_NE(a.tile(0), b.tile(0));
  EXPECT_EQ(a.tile(1), b.tile(1));
  EXPECT_FALSE(a == b);
  *b.MutableTile(0) = static_cast<uint8_t>(old + 1);
  EXPECT_TRUE(a == b);
}

TEST(TiledImage, PastesInsideItsBounds) {
  TiledImage tiled(300, 300, 1);
  const Image stamp = Pattern(50, 50, 1, 3);
  tiled.Paste(stamp, 280, -10);
  EXPECT_EQ(*tiled.At(280, 0), stamp.pixels[10 * 50]);
  EXPECT_EQ(tiled.At(0, 299), nullptr);
  EXPECT_EQ(tiled.tile(2), nullptr);
  EXPECT_EQ(tiled.UsedBox().right, 300);
  EXPECT_EQ(tiled.UsedBox().bottom, 40);
  const TilePtr before = tiled.tile(1);
  const TiledImage copy = tiled;
  tiled.Paste(stamp, 280, -10);  // changes nothing
  EXPECT_EQ(tiled.tile(1), before);
}

TEST(Document, OpaquePixelsComeThroughUnchanged) {
  const Image image = Pattern(70, 40, 3, 5);
  Document document = OpenAsDocument(image, "photo");
  EXPECT_EQ(Flatten(document).pixels, image.pixels);
  // The same picture once more at any opacity changes nothing either.
  const uint64_t id = AddLayer(document, image, {.name = "again"});
  for (const float opacity : {0.0f, 0.3f, 0.5f, 0.77f, 1.0f}) {
    SetLayerOpacity(document, id, opacity);
    EXPECT_EQ(Flatten(document).pixels, image.pixels) << opacity;
  }
}

TEST(Document, BlendsLayersByOpacity) {
  Document document = OpenAsDocument({1, 1, 1, {100}}, "dark");
  const uint64_t id = AddLayer(document, {1, 1, 1, {200}}, {.name = "light"});
  SetLayerOpacity(document, id, 0.5f);
  EXPECT_EQ(Flatten(document).pixels, (std::vector<uint8_t>{150, 150, 150}));
  SetLayerVisible(document, id, false);
  EXPECT_EQ(Flatten(document).pixels, (std::vector<uint8_t>{100, 100, 100}));
  SetLayerVisible(document, id, true);
  MoveLayer(document, id, 0);
  EXPECT_EQ(Flatten(document).pixels, (std::vector<uint8_t>{100, 100, 100}));
}

TEST(Document, APaintedLayerLeavesTheRestAlone) {
  const Image photo = Pattern(40, 40, 3, 1);
  Document document = OpenAsDocument(photo, "photo");
  document.mask.MutableTile(0)[OffsetInTile(3, 2, 1)] = 1;
  const size_t under_mask = 2 * 40 + 3;
  const size_t beyond = under_mask + 1;  // changed by a mask that was grown on the way
  Image result = photo;
  for (const size_t pixel : {under_mask, beyond}) result.pixels[3 * pixel] ^= 1;
  const uint64_t id = AddPaintedLayer(document, result, Document(document), {.name = "result"});
  EXPECT_EQ(Flatten(document).pixels, result.pixels);
  RemoveLayer(document, 1);
  const Image alone = document.Find(id)->pixels.ToImage();
  for (size_t i = 0; i < alone.pixels.size() / 4; ++i) {
    const bool is_opaque = i == under_mask || i == beyond;
    EXPECT_EQ(alone.pixels[4 * i + 3], is_opaque ? 255 : 0) << i;
  }
}

// What Paste made of half-transparent pixels is not laid over them once more.
TEST(Document, APaintedLayerLetsThroughWhatTheResultLetThrough) {
  // Opaque, half transparent, transparent with a hidden colour; under a mask of 102 = 0.4.
  const Image photo{3, 1, 4, {100, 50, 0, 255, 100, 50, 0, 128, 9, 8, 7, 0}};
  const Image mask{3, 1, 1, {102, 102, 102}};
  Image result = photo;
  Paste({3, 1, 3, std::vector<uint8_t>(9, 200)}, 0, 0, mask, result);
  ASSERT_EQ(result.pixels,
            (std::vector<uint8_t>{140, 110, 80, 255, 157, 136, 114, 179, 200, 200, 200, 102}));
  Document document = OpenAsDocument(photo, "photo");
  document.mask.Paste(mask, 0, 0);
  const uint64_t id = AddPaintedLayer(document, result, Document(document), {.name = "result"});
  EXPECT_EQ(Flatten(document).pixels, result.pixels);
  const Image layer = document.Find(id)->pixels.ToImage();
  // The paint and its mask, within what 8 bits tell; the opaque pixel shows nothing through.
  EXPECT_EQ(layer.pixels,
            (std::vector<uint8_t>{140, 110, 80, 255, 199, 200, 198, 103, 200, 200, 200, 102}));
}

TEST(Document, ACanvasGrowsAroundItsPicture) {
  const Image photo = Pattern(30, 20, 3, 1);
  Document document = OpenAsDocument(photo, "photo");
  ResizeCanvas(document, 50, 40, 10, 5);
  EXPECT_EQ(document.layers[0].pixels.At(9, 5)[3], 0);
  EXPECT_EQ(document.layers[0].pixels.At(10, 5)[0], photo.pixels[0]);
  EXPECT_EQ(*document.mask.At(9, 5), 255);
  EXPECT_EQ(*document.mask.At(39, 24), 0);
  EXPECT_EQ(*document.mask.At(40, 24), 255);
}

TEST(History, CrossesStepsOfEveryKind) {
  Document document = OpenAsDocument(Pattern(300, 300, 3, 1), "photo");
  std::vector<Document> versions = {document};
  History history;
  const auto step = [&](const std::string& name) {
    EXPECT_TRUE(history.Push(name, versions.back(), document));
    versions.push_back(document);
  };
  document.mask.MutableTile(3)[0] = 9;
  step("dot");
  const uint64_t id = AddLayer(document, Pattern(300, 300, 3, 2), {.name = "layer"});
  step("add");
  SetLayerOpacity(document, id, 0.5f);
  step("opacity");
  MoveLayer(document, id, 0);
  step("move");
  ResizeCanvas(document, 400, 350, 50, 25);
  step("canvas");
  RemoveLayer(document, id);
  step("remove");
  EXPECT_FALSE(history.Push("nothing", document, document));
  for (size_t i = versions.size() - 1; i > 0; --i) {
    EXPECT_EQ(history.Undo(document), history.name(i - 1));
    EXPECT_TRUE(document == versions[i - 1]) << i;
  }
  EXPECT_EQ(history.Undo(document), std::nullopt);
  for (size_t i = 1; i < versions.size(); ++i) {
    EXPECT_TRUE(history.Redo(document).has_value());
    EXPECT_TRUE(document == versions[i]) << i;
  }
  EXPECT_EQ(history.Redo(document), std::nullopt);
}

TEST(History, ANewStepForgetsThoseThatWereUndone) {
  Document document(10, 10);
  History history;
  for (uint8_t i = 1; i <= 3; ++i) {
    const Document before = document;
    *document.mask.MutableTile(0) = i;
    history.Push(std::string(1, static_cast<char>('0' + i)), before, document);
  }
  history.Undo(document);
  history.Undo(document);
  const Document before = document;
  *document.mask.MutableTile(0) = 77;
  history.Push("other", before, document);
  EXPECT_EQ(history.size(), 2u);
  EXPECT_FALSE(history.can_redo());
  history.Undo(document);
  EXPECT_EQ(*document.mask.At(0, 0), 1);
}

TEST(TiledImage, KnowsWithoutLookingWhetherItIsZero) {
  TiledImage tiled(600, 300, 1);
  EXPECT_TRUE(tiled.IsZero());
  *tiled.MutableTile(1) = 0;
  EXPECT_TRUE(tiled.IsZero());
  const uint64_t memo = tiled.tile(1)->zero_memo;
  EXPECT_TRUE(tiled.IsZero());
  EXPECT_EQ(tiled.tile(1)->zero_memo, memo);
  *tiled.MutableTile(1) = 3;
  EXPECT_FALSE(tiled.IsZero());
  const TiledImage copy = tiled;
  *tiled.MutableTile(1) = 0;
  EXPECT_TRUE(tiled.IsZero());
  EXPECT_FALSE(copy.IsZero());
}

TEST(FileSpace, UsesPlacesAgainAndShrinks) {
  FileSpace space;
  EXPECT_EQ(space.Take(10), 0u);
  EXPECT_EQ(space.Take(20), 10u);
  EXPECT_EQ(space.Take(30), 30u);
  EXPECT_EQ(space.end(), 60u);
  space.Return(10, 20);
  EXPECT_EQ(space.Take(5), 10u);
  EXPECT_EQ(space.Take(16), 60u);  // does not fit into the 15 that are left
  EXPECT_EQ(space.Take(15), 15u);
  space.Return(30, 30);
  EXPECT_EQ(space.end(), 76u);
  space.Return(60, 16);  // together with the gap before it
  EXPECT_EQ(space.end(), 30u);
  space.Return(0, 10);
  space.Return(15, 15);
  space.Return(10, 5);
  EXPECT_EQ(space.end(), 0u);
}

// Random takes and returns against a map of bytes.
TEST(FileSpace, NeverGivesAByteTwice) {
  FileSpace space;
  std::vector<std::pair<size_t, size_t>> taken;
  std::vector<char> used(100000);
  uint32_t state = 5;
  const auto below = [&](uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
  };
  for (int i = 0; i < 5000; ++i) {
    if (taken.size() < 40 || below(2) == 0) {
      const size_t size = 1 + below(200);
      const size_t offset = space.Take(size);
      ASSERT_LE(offset + size, space.end());
      for (size_t b = offset; b < offset + size; ++b) ASSERT_EQ(std::exchange(used.at(b), 1), 0);
      taken.emplace_back(offset, size);
    } else {
      const size_t index = below(static_cast<uint32_t>(taken.size()));
      const auto [offset, size] = taken[index];
      taken.erase(taken.begin() + static_cast<std::ptrdiff_t>(index));
      space.Return(offset, size);
      for (size_t b = offset; b < offset + size; ++b) used[b] = 0;
    }
    const auto last = std::find(used.rbegin(), used.rend(), 1);
    ASSERT_EQ(space.end(), static_cast<size_t>(used.rend() - last));
  }
}

TEST(History, TheFileOfStepsThatAreForgottenIsUsedAgain) {
  Document document(512, 512);
  History history(0);  // everything goes to the file
  uint32_t state = 1;
  size_t most = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 5; ++i) {
      const Document before = document;
      uint8_t* tile = document.mask.MutableTile(static_cast<size_t>(i % 4));
      for (int k = 0; k < kTileSide * kTileSide; ++k) {
        state = state * 1664525u + 1013904223u;
        tile[k] = static_cast<uint8_t>(state >> 24);
      }
      history.Push("noise", before, document);
    }
    // Away with the steps of this round: undone, then forgotten by the next.
    while (history.position() > 0) history.Undo(document);
    if (round == 0) most = history.vault().file_bytes();
    EXPECT_LE(history.vault().file_bytes(), 2 * most);
  }
  EXPECT_GT(most, size_t{100000});
  history.Clear();
  EXPECT_EQ(history.vault().file_bytes(), 0u);
  EXPECT_EQ(history.vault().memory_bytes(), 0u);
}

TEST(TileVault, MovesTheOldestToAFileAndBringsThemBack) {
  constexpr size_t kLimit = 200000;
  TileVault vault(kLimit);
  std::vector<TilePtr> tiles;
  std::vector<TileVault::Ticket> tickets;
  for (int i = 0; i < 10; ++i) {  // 64 KiB each of bytes that do not compress
    auto tile = std::make_shared<Tile>();
    uint32_t state = static_cast<uint32_t>(i) + 1;
    for (int k = 0; k < kTileSide * kTileSide; ++k) {
      state = state * 1664525u + 1013904223u;
      tile->pixels.push_back(static_cast<uint8_t>(state >> 24));
    }
    tiles.push_back(tile);
    tickets.push_back(vault.Put(tile));
    EXPECT_LE(vault.memory_bytes(), kLimit);
  }
  EXPECT_GT(vault.file_bytes(), size_t{400000});
  for (size_t i = 0; i < tiles.size(); ++i)
    EXPECT_EQ(vault.Get(tickets[i])->pixels, tiles[i]->pixels);
  EXPECT_EQ(vault.Get(vault.Put(nullptr)), nullptr);
  tickets.clear();
  EXPECT_EQ(vault.memory_bytes(), 0u);
  EXPECT_EQ(vault.file_bytes(), 0u);
}

}  // namespace
}  // namespace gesso::ui
