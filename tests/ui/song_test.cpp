// Songs in the editor: opened as a roll, a mask drawn, bars composed again, saved; every note that
// the mask does not cover stays. And what songs cannot have is refused.
#include "ui/state/song.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <thread>

#include "models/io/output_file.h"
#include "pipelines/mask/crop.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/midi/refill.h"
#include "pipelines/song_painter.h"
#include "tests/ui/editor_fixture.h"
#include "ui/actions/layer_actions.h"
#include "ui/actions/mask_actions.h"

namespace gesso::ui {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kSong = fs::path(GESSO_SOURCE_DIR) / "tests/data/midi/pop.mid";  // eight bars

class SongTest : public EditorFixture {
 protected:
  // A mask over the columns [left, right) of the rows [top, bottom), and a model that composes.
  void OpenSongWithMask(int left, int top, int right, int bottom) {
    editor_.Open(kSong);
    editor_.Edit("mask", [&](Document& document) {
      const Point corner{static_cast<double>(left), static_cast<double>(top)};
      const Point other{static_cast<double>(right), static_cast<double>(bottom)};
      FillPolygon(document.mask, RectangleOutline(corner, other), 1, FillMode::kPaint);
    });
    editor_.request.model = kModels + "tiny-hdit";
    editor_.request.prompt = "a tune";
    editor_.request.seed = 5;
  }

  void ExpectRefusal(const std::string& words) {
    ASSERT_TRUE(editor_.notice().has_value());
    EXPECT_TRUE(editor_.notice()->is_error);
    EXPECT_THAT(editor_.notice()->text, HasSubstr(words));
  }
};

// Notes that do not begin within the mask, as they lie in the song.
std::vector<MidiNote> NotesOutside(const MidiFile& song, const Image& mask) {
  const RollGrid grid(song, "song");
  const std::vector<MidiNote> notes = NotesOf(song);
  const std::vector<RollLayer> layers = LayersOf(song, notes);
  const std::vector<RollNote> roll = Quantise(grid, notes, layers);
  std::vector<MidiNote> outside;
  for (size_t i = 0; i < notes.size(); ++i) {
    const std::optional<int> row = RollRowOf(layers[i], notes[i].pitch);
    const bool masked =
        row && mask.pixels[static_cast<size_t>(*row * mask.width + roll[i].step)] >= 128;
    if (!masked) outside.push_back(notes[i]);
  }
  std::ranges::sort(outside);
  return outside;
}

TEST_F(SongTest, OpensAsItsRollInLayers) {
  editor_.Open(kSong);
  const Document& document = editor_.document();
  const MidiFile song = ReadMidi(kSong);
  const RollGrid grid(song, "pop");
  EXPECT_EQ(document.width, grid.steps());
  EXPECT_EQ(document.height, kRollRows);
  ASSERT_EQ(document.layers.size(), 5u);
  const std::vector<MidiNote> notes = NotesOf(song);
  const Image whole = DrawRoll(Quantise(grid, notes, LayersOf(song, notes)), 0, document.width);
  // The layers together, each in its channel, are the picture that models see.
  Image sum{document.width, kRollRows, 3, std::vector<uint8_t>(whole.pixels.size())};
  for (const Layer& layer : document.layers) {
    if (!layer.info.notes) continue;
    EXPECT_EQ(layer.info.name, kRollLayerNames[static_cast<size_t>(*layer.info.notes)]);
    const Image pixels = layer.pixels.ToImage();
    for (size_t i = 0; i < sum.pixels.size(); ++i) {
      const uint8_t value = pixels.pixels[i / 3 * 4 + i % 3];
      EXPECT_TRUE(value == 0 || pixels.pixels[i / 3 * 4 + 3] == 255);
      sum.pixels[i] = std::max(sum.pixels[i], value);
    }
  }
  EXPECT_EQ(sum.pixels, whole.pixels);
  EXPECT_EQ(*document.song, song);
  EXPECT_EQ(editor_.usual_model(), "demo-music");
}

TEST_F(SongTest, ComposesUnderTheMaskAndNowhereElse) {
  OpenSongWithMask(80, 0, 112, 56);  // two bars, but not their drums
  const Document before = editor_.document();
  const Image mask = before.mask.ToImage();
  editor_.Submit();
  WaitUntilDone();
  const Document after = editor_.document();
  ASSERT_NE(after.song, before.song) << editor_.notice()->text;
  const fs::path saved = folder_.path() / "refilled.mid";
  editor_.Save(saved);
  WaitUntilDone();
  const MidiFile song = ReadMidi(saved);
  EXPECT_EQ(song, *after.song);
  EXPECT_EQ(NotesOutside(song, mask), NotesOutside(*before.song, mask));
  EXPECT_NE(NotesOf(song), NotesOf(*before.song));
  // As the command line composes it.
  class Ignored : public GenerateObserver {
    void OnStep(const StepReport&) override {}
    void OnPicture(const Picture&) override {}
  } ignored;
  Generator generator(Device::kCpu);
  Request request = editor_.request;
  request.only_masked.reset();
  EXPECT_EQ(song, ComposeAgain(generator, *before.song, mask, request, ignored, "pop").song);
  // The layers show it, outside of the mask as before.
  const Image roll = Flatten(after);
  const Image old = Flatten(before);
  for (size_t i = 0; i < roll.pixels.size(); ++i) {
    const auto column = static_cast<int>(i / 3 % static_cast<size_t>(roll.width));
    EXPECT_TRUE(column >= 80 || roll.pixels[i] == old.pixels[i]) << i;
  }
  EXPECT_NE(roll.pixels, old.pixels);
  editor_.Undo();
  EXPECT_TRUE(editor_.document() == before);
  editor_.Redo();
  EXPECT_TRUE(editor_.document() == after);
}

TEST_F(SongTest, RefusesWhatIsNoSong) {
  OpenSongWithMask(80, 0, 96, 64);
  const Document before = editor_.document();
  const auto refuses = [&](const std::string& words, const std::function<void(Document&)>& change) {
    editor_.Edit("refused", change);
    ExpectRefusal(words);
    EXPECT_TRUE(editor_.document() == before);
  };
  refuses("the layers of a song are its notes", [](Document& d) { RemoveLayer(d, 2); });
  refuses("the layers of a song are its notes", FlattenLayers);
  refuses("the layers of a song are its notes", [](Document& d) {
    AddLayer(d, {1, 1, 3, {1, 2, 3}}, {});
  });
  refuses("the layers of a song are its notes", [](Document& d) { ResizeCanvas(d, 9, 9, 0, 0); });
  // A request of pictures.
  editor_.request.outpaint = Margins{1, 1, 1, 1};
  editor_.Submit();
  WaitUntilDone();
  ExpectRefusal("outpaint: has no effect");
  editor_.request.outpaint.reset();
  editor_.request.batch_count = 2;
  editor_.Submit();
  WaitUntilDone();
  ExpectRefusal("batch_count: a song is composed once");
  editor_.request.batch_count.reset();
  editor_.Edit("clear", ClearMask);
  editor_.Submit();
  ExpectRefusal("Draw a mask");
  EXPECT_FALSE(editor_.is_busy());
  // Order and visibility are how it looks.
  editor_.Edit("order", [](Document& d) { MoveLayer(d, d.layers[1].info.id, 4); });
  editor_.Edit("hide", [](Document& d) { SetLayerVisible(d, d.layers[1].info.id, false); });
  EXPECT_EQ(editor_.document().layers[4].info.name, "drums");
  // A picture is none, whatever it is called.
  editor_.New(20, 64);
  ExpectError(ErrorKind::kUsage, {"a.mid", "which has no notes"},
              [&] { editor_.Save(folder_.path() / "a.mid"); });
  ExpectError(ErrorKind::kUsage, {"a.wav", "which has no sound"},
              [&] { editor_.Save(folder_.path() / "a.wav"); });
  editor_.PlayOrStop();
  ExpectRefusal("only a song");
  ExpectError(ErrorKind::kFormat, {"a.mid: byte 0"},
              [&] { editor_.Open(folder_.Write("a.mid", "MThx")); });
}

TEST_F(SongTest, OneIsComposedAtATime) {
  OpenSongWithMask(80, 0, 96, 64);
  editor_.Submit();
  editor_.Submit();
  ExpectRefusal("The song is being composed");
  WaitUntilDone();
  EXPECT_EQ(editor_.history().size(), 2u);  // the mask, and one song
  // What was composed for another song than it is by now would take the other's notes back.
  editor_.Submit();
  editor_.Undo();
  const Document before = editor_.document();
  WaitUntilDone();
  ExpectRefusal("The song was another");
  EXPECT_TRUE(editor_.document() == before);
}

TEST_F(SongTest, WhatWasComposedGoesToTheStrip) {
  OpenSongWithMask(80, 0, 96, 64);  // the sixth of eight bars
  editor_.request.seed.reset();
  const Document before = editor_.document();
  editor_.Submit();
  WaitUntilDone();
  const Document composed = editor_.document();
  ASSERT_EQ(editor_.results().results().size(), 1u);
  const Result made = editor_.results().results().front();
  EXPECT_TRUE(made.is_song);
  EXPECT_TRUE(made.request.seed.has_value());
  EXPECT_FALSE(made.request.mask || made.request.width);
  // The last four bars, as the document shows them.
  const Image roll = Flatten(composed);
  EXPECT_EQ(made.image->pixels, CutOut(roll, {64, 0, 64, kRollRows}).pixels);
  // Again with its settings: the same.
  editor_.Undo();
  editor_.UseSettings(made);
  editor_.Submit();
  WaitUntilDone();
  EXPECT_EQ(*editor_.document().song, *composed.song);
  // In the song's place, and back.
  editor_.Undo();
  editor_.Use(made);
  EXPECT_EQ(*editor_.document().song, *composed.song);
  EXPECT_EQ(Flatten(editor_.document()).pixels, roll.pixels);
  editor_.Undo();
  EXPECT_TRUE(editor_.document() == before);
  // After a restart, from its file.
  Background background;
  Editor second(engine_, background, folder_.path() / "state");
  background.Wait();
  second.Update();
  ASSERT_EQ(second.results().results().size(), 2u);
  const Result found = second.results().results().back();
  EXPECT_TRUE(found.is_song);
  EXPECT_EQ(found.song, nullptr);
  EXPECT_EQ(found.request, made.request);
  EXPECT_EQ(ResultStore::ImageOf(found).pixels, made.image->pixels);
  second.OpenResult(found);
  ASSERT_NE(second.document().song, nullptr);
  EXPECT_EQ(*second.document().song, *composed.song);
  // It is no layer of a picture.
  second.New(128, 64);
  second.Use(found);
  ASSERT_TRUE(second.notice().has_value());
  EXPECT_THAT(second.notice()->text, HasSubstr("a song of other bars"));
  EXPECT_EQ(second.document().layers.size(), 1u);
  fs::remove(ResultStore::SongFile(found.path));
  second.OpenResult(found);
  EXPECT_THAT(second.notice()->text, HasSubstr(".mid"));
}

TEST_F(SongTest, AProjectBringsItsSongsAlong) {
  OpenSongWithMask(80, 0, 96, 64);
  editor_.Submit();
  WaitUntilDone();
  const Document composed = editor_.document();
  const fs::path path = folder_.path() / "song.gesso";
  editor_.Save(path);
  WaitUntilDone();
  Editor other(engine_, background_, folder_.path() / "elsewhere");
  other.Open(path);
  background_.Wait();
  other.Update();
  ASSERT_EQ(other.results().results().size(), 1u);
  const Result& result = other.results().results().front();
  EXPECT_TRUE(result.is_song);
  EXPECT_EQ(*ResultStore::SongOf(result), *composed.song);
  EXPECT_EQ(result.path.parent_path(), folder_.path() / "elsewhere" / "results");
}

// The oldest go, and a song with its picture.
TEST_F(SongTest, TheStripForgetsSongsAndTheirPicturesTogether) {
  const fs::path results = folder_.path() / "old" / "results";
  fs::create_directories(results);
  for (int i = 0; i < 101; ++i) {
    for (const char* suffix : {"png", "mid"}) {
      std::ofstream(results / fmt::format("{}-000.{}", 1000 + i, suffix)) << kPngSignature;
    }
  }
  std::ofstream(results / "0999-000.png") << kPngSignature;  // 203 in all
  Editor editor(engine_, background_, folder_.path() / "old");
  background_.Wait();
  EXPECT_FALSE(fs::exists(results / "0999-000.png"));
  EXPECT_FALSE(fs::exists(results / "1000-000.mid"));
  EXPECT_FALSE(fs::exists(results / "1000-000.png"));
  EXPECT_TRUE(fs::exists(results / "1001-000.mid"));
  EXPECT_EQ(std::distance(fs::directory_iterator(results), {}), 200);
}

TEST_F(SongTest, AProjectKeepsTheSong) {
  OpenSongWithMask(80, 0, 96, 64);
  editor_.Edit("hide", [](Document& d) { SetLayerVisible(d, d.layers[1].info.id, false); });
  const Document saved = editor_.document();
  const fs::path path = folder_.path() / "song.gesso";
  editor_.Save(path);
  WaitUntilDone();
  editor_.New(20, 20);
  editor_.Open(path);
  EXPECT_TRUE(editor_.document() == saved);
  editor_.Submit();
  WaitUntilDone();
  EXPECT_NE(*editor_.document().song, *saved.song);
  editor_.Save(folder_.path() / "roll.png");  // a picture of it
  WaitUntilDone();
  EXPECT_EQ(ReadImage(folder_.path() / "roll.png", 3).pixels, Flatten(editor_.document()).pixels);
  EXPECT_TRUE(editor_.is_modified());  // which has no notes
}

// A program in its place says what it was given.
TEST_F(SongTest, PlaysByFluidSynthWhereThereIsOne) {
  const std::string path = getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  editor_.Open(kSong);
  EXPECT_THAT(editor_.synthesiser().why_not, HasSubstr("fluidsynth"));
  editor_.PlayOrStop();
  ExpectRefusal("fluidsynth");
  EXPECT_FALSE(editor_.is_playing());
  ExpectError(ErrorKind::kUnsupported, {"fluidsynth"},
              [&] { editor_.Save(folder_.path() / "song.wav"); });
  setenv("PATH", path.c_str(), 1);
  editor_.Open(kSong);
  if (!editor_.synthesiser().found) GTEST_SKIP() << editor_.synthesiser().why_not;
  editor_.Save(folder_.path() / "song.wav");
  WaitUntilDone();
  EXPECT_EQ(ReadFile(folder_.path() / "song.wav", size_t{1} << 28).substr(0, 4), "RIFF");
  EXPECT_EQ(editor_.path(), kSong);
  const fs::path program = folder_.Write("fluidsynth", "#!/bin/sh\nexec sleep 1000\n");
  fs::permissions(program, fs::perms::owner_all);
  setenv("PATH", (folder_.path().string() + ":" + path).c_str(), 1);
  editor_.PlayOrStop();
  for (int i = 0; i < 20; ++i) {
    editor_.Update();
    EXPECT_TRUE(editor_.is_playing());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  editor_.PlayOrStop();
  EXPECT_FALSE(editor_.is_playing());
  folder_.Write("fluidsynth", "#!/bin/sh\necho no card >&2\nexit 255\n");
  editor_.PlayOrStop();
  while (editor_.is_playing()) editor_.Update();
  ExpectRefusal("no card");
  setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace gesso::ui
