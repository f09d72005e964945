// Songs as pictures, and parts of them composed again.
#include "pipelines/media/midi/piano_roll.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "pipelines/media/image_file.h"
#include "pipelines/media/midi/refill.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int kTicks = 120;  // a sixteenth

std::filesystem::path Data(const std::string& name) {
  return std::filesystem::path(GESSO_SOURCE_DIR) / "tests/data/midi" / name;
}

MidiFile PopSong() { return ReadMidi(Data("pop.mid")); }

struct Rolled {
  explicit Rolled(const MidiFile& song)
      : grid(song, "song"), notes(NotesOf(song)), layers(LayersOf(song, notes)) {}
  std::vector<RollNote> roll() const { return Quantise(grid, notes, layers); }
  RollGrid grid;
  std::vector<MidiNote> notes;
  std::vector<RollLayer> layers;
};

MidiEvent TimeSignature(int64_t tick, char beats, char power) {
  return {tick, kMidiMeta, kMidiTimeSignature, {beats, power, 24, 8}};
}

// A song of one 4/4 bar after the other, with no notes yet.
MidiFile EmptySong(int bars, size_t tracks = 1) {
  MidiFile song{.format = tracks == 1 ? 0 : 1,
                .ticks_per_quarter = 4 * kTicks,
                .tracks = std::vector<MidiTrack>(tracks),
                .others = {}};
  song.tracks[0].end = int64_t{16} * bars * kTicks;
  return song;
}

// Paints nothing but these notes, whose steps count from the song's beginning.
PaintRoll Painter(const std::vector<RollNote>& notes, std::vector<Image>* seen, int64_t first) {
  return [=](const Image& window, const Image&) {
    if (seen != nullptr) seen->push_back(window);
    return DrawRoll(notes, first, kWindowSteps);
  };
}

TEST(PianoRoll, IsThePictureThatTrainingDraws) {
  const Rolled song(PopSong());
  ASSERT_EQ(song.grid.steps(), 128);
  const Image drawn = DrawRoll(song.roll(), 0, 128);
  const Image expected = ReadImage(Data("pop.png"), 3);
  EXPECT_EQ(drawn.width, expected.width);
  EXPECT_EQ(drawn.height, expected.height);
  EXPECT_EQ(drawn.pixels, expected.pixels);
}

TEST(PianoRoll, ComesBackFromItsPicture) {
  const Rolled song(PopSong());
  std::vector<RollNote> notes = song.roll();
  std::stable_sort(notes.begin(), notes.end(), [](const RollNote& a, const RollNote& b) {
    return std::tie(a.layer, a.step, a.pitch) < std::tie(b.layer, b.step, b.pitch);
  });
  EXPECT_THAT(notes, SizeIs(248));
  EXPECT_EQ(ReadRoll(DrawRoll(notes, 0, 128), 0), notes);
}

TEST(PianoRoll, KeepsRepeatedNotesApartAndCutsAtItsEdges) {
  const std::vector<RollNote> notes = {{RollLayer::kMelody, 9, 3, 72, 1},
                                       {RollLayer::kMelody, 12, 2, 72, 127},
                                       {RollLayer::kMelody, 14, 9, 72, 64},
                                       {RollLayer::kBass, 4, 8, 40, 64}};
  std::vector<RollNote> expected(notes.begin(), notes.begin() + 3);
  expected[2].length = 2;
  const Image picture = DrawRoll(notes, 8, 8);
  EXPECT_EQ(ReadRoll(picture, 8), expected);
  // The bass began before the picture: it sounds there but does not begin.
  const size_t row = static_cast<size_t>(91 - 40) * 8;
  EXPECT_EQ(picture.pixels[row * 3 + 2], kRollSustain);
  EXPECT_EQ(picture.pixels[(row + 4) * 3 + 2], 0);
}

TEST(PianoRoll, ShowsWhatHasNoRowNearby) {
  EXPECT_EQ(RollRowOf(RollLayer::kMelody, 91), 0);
  EXPECT_EQ(RollRowOf(RollLayer::kMelody, 127), RollRowOf(RollLayer::kMelody, 91));
  EXPECT_EQ(RollRowOf(RollLayer::kBass, 0), RollRowOf(RollLayer::kBass, 36));
  EXPECT_EQ(RollRowOf(RollLayer::kDrums, 35), RollRowOf(RollLayer::kDrums, 36));
  EXPECT_EQ(RollRowOf(RollLayer::kDrums, 36), 63);
  EXPECT_EQ(RollRowOf(RollLayer::kDrums, 81), std::nullopt);
}

TEST(PianoRoll, RefusesPicturesOfAnotherShape) {
  ExpectError(ErrorKind::kShape, {"RGB picture of 64 rows", "8 rows and 1 channels"},
              [] { ReadRoll({.width = 8, .height = 8, .channels = 1, .pixels = {}}, 0); });
}

TEST(RollGrid, FollowsTimeSignaturesAndRoundsToTheNearestStep) {
  MidiFile song = EmptySong(3);
  song.tracks[0].events = {TimeSignature(0, 3, 2), TimeSignature(12 * kTicks, 4, 2)};
  const RollGrid grid(song, "song");
  EXPECT_EQ(grid.bars().size(), 4u);
  EXPECT_EQ(grid.FirstStep(1), 12);
  EXPECT_EQ(grid.FirstStep(2), 28);
  EXPECT_EQ(grid.BarOf(11), 0u);
  EXPECT_EQ(grid.BarOf(12), 1u);
  EXPECT_EQ(grid.StepOf(12 * kTicks - 61), 11);
  EXPECT_EQ(grid.StepOf(12 * kTicks - 60), 12);
  for (int64_t step = 0; step < grid.steps(); ++step) {
    EXPECT_EQ(grid.StepOf(grid.TickOf(step)), step);
  }
}

TEST(RollGrid, IsLimited) {
  MidiFile song = EmptySong(3000);
  song.tracks[0].events = {TimeSignature(0, 127, 0)};
  song.tracks[0].end *= 127;
  ExpectError(ErrorKind::kUnsupported, {"song: is ", "sixteenths long, more than 65536"},
              [&] { RollGrid(song, "song"); });
}

TEST(RollLayers, GoByChannelNameInstrumentAndNotes) {
  MidiFile song = EmptySong(1, 6);
  const std::string name = "Lead Vocals";
  song.tracks[0].events = {{0, kMidiMeta, kMidiTrackName, name}};
  song.tracks[1].events = {{0, 0xc1, 0, {34}}};
  const std::vector<MidiNote> notes = {
      {0, 0, 40, 1, 0, 9}, {1, 1, 60, 1, 0, 9}, {2, kDrumChannel, 60, 1, 0, 9},
      {3, 2, 60, 1, 0, 9}, {3, 2, 64, 1, 0, 9}, {4, 3, 40, 1, 0, 9},
      {5, 4, 72, 1, 0, 9}};
  EXPECT_THAT(
      LayersOf(song, notes),
      ElementsAre(RollLayer::kMelody, RollLayer::kBass, RollLayer::kDrums, RollLayer::kChords,
                  RollLayer::kChords, RollLayer::kBass, RollLayer::kMelody));
}

TEST(RefillSong, ReplacesTheMaskedBarsAndKeepsTheRestToTheTick) {
  MidiFile song = PopSong();
  for (MidiEvent& event : song.tracks[1].events) event.tick += 7;  // off the grid
  song.tracks[1].end += 7;
  const Rolled before(song);
  const Image mask = BarMask(before.grid, 2, 3);
  std::vector<Image> seen;
  const std::vector<RollNote> fresh = {{RollLayer::kMelody, 33, 2, 61, 99},
                                       {RollLayer::kBass, 60, 9, 37, 98},  // beyond the mask
                                       {RollLayer::kDrums, 48, 1, 38, 97},
                                       {RollLayer::kChords, 70, 2, 61, 96}};  // outside of it
  const MidiFile after = RefillSong(song, mask, Painter(fresh, &seen, 16), "song", 0);
  std::vector<MidiNote> kept;
  for (const MidiNote& note : before.notes) {
    const int64_t step = before.grid.StepOf(note.begin);
    if (step < 32 || step >= 64) kept.push_back(note);
  }
  std::vector<MidiNote> notes = NotesOf(after);
  ASSERT_THAT(notes, SizeIs(kept.size() + 3));
  EXPECT_THAT(notes, IsSupersetOf(kept));
  EXPECT_THAT(notes, IsSupersetOf({MidiNote{1, 0, 61, 99, 33 * kTicks, 35 * kTicks},
                                   MidiNote{3, 2, 37, 98, 60 * kTicks, 64 * kTicks},
                                   MidiNote{4, 9, 38, 97, 48 * kTicks, 49 * kTicks}}));
  ASSERT_THAT(seen, SizeIs(1));  // bars 2 to 5, of which the middle is empty
  const std::vector<RollNote> shown = Quantise(before.grid, kept, LayersOf(song, kept));
  EXPECT_EQ(seen[0].pixels, DrawRoll(shown, 16, kWindowSteps).pixels);
}

TEST(RefillSong, ShowsMusicAndMaskInC) {
  MidiFile song = EmptySong(4, 2);
  const MidiNote keeps = {1, 0, 63, 9, 0, 60};  // E flat
  const MidiNote drum = {1, kDrumChannel, 38, 9, 0, 60};
  ReplaceNotes(song, {}, std::vector<MidiNote>{keeps, drum});
  Image mask = BarMask(RollGrid(song, "song"), 1, 1);
  const auto clear_row = [&](int row) {
    std::fill_n(mask.pixels.begin() + static_cast<std::ptrdiff_t>(row) * 64, 64, 0);
  };
  clear_row(91 - 70);  // B flat stays as it is, and so does the snare drum
  clear_row(62);
  std::vector<Image> masks;
  Image seen;
  const std::vector<RollNote> fresh = {{RollLayer::kMelody, 16, 1, 64, 70},  // E: a G
                                       {RollLayer::kMelody, 17, 1, 67, 71},  // G: the B flat
                                       {RollLayer::kMelody, 18, 1, 38, 72},  // a low D: F
                                       {RollLayer::kDrums, 19, 1, 36, 73}};
  const PaintRoll paint = [&](const Image& window, const Image& shown) {
    seen = window;
    masks.push_back(shown);
    return DrawRoll(fresh, 0, kWindowSteps);
  };
  const auto painted = [&](std::optional<int> key) {
    return NotesOf(RefillSong(song, mask, paint, "song", key));
  };
  EXPECT_THAT(painted(3),  // E flat major goes three semitones down
              UnorderedElementsAre(keeps, drum, MidiNote{1, 0, 67, 70, 16 * kTicks, 17 * kTicks},
                                   MidiNote{1, 0, 41, 72, 18 * kTicks, 19 * kTicks},
                                   MidiNote{1, 9, 36, 73, 19 * kTicks, 20 * kTicks}));
  EXPECT_EQ(seen.pixels, DrawRoll(std::vector<RollNote>{{RollLayer::kMelody, 0, 1, 60, 9},
                                                        {RollLayer::kDrums, 0, 1, 38, 9}},
                                  0, kWindowSteps)
                             .pixels);
  const auto at = [&](int row) { return masks[0].pixels[static_cast<size_t>(row * 64 + 16)]; };
  EXPECT_EQ(at(91 - 67), 0);
  EXPECT_EQ(at(91 - 70), 255);
  EXPECT_EQ(at(62), 0);
  EXPECT_EQ(at(63), 255);
  painted(std::nullopt);  // the note that stays is most of all a tonic
  EXPECT_EQ(masks[1].pixels, masks[0].pixels);
}

TEST(RefillSong, WithNothingMaskedChangesNothing) {
  const MidiFile song = PopSong();
  Image mask = BarMask(RollGrid(song, "song"), 0, 0);
  std::fill(mask.pixels.begin(), mask.pixels.end(), 127);
  const auto never = [](const Image&, const Image&) -> Image { throw std::logic_error("asked"); };
  EXPECT_EQ(RefillSong(song, mask, never, "song"), song);
}

TEST(RefillSong, ReplacesOnlyMaskedRows) {
  const MidiFile song = PopSong();
  const Rolled before(song);
  Image mask = BarMask(before.grid, 0, 7);
  std::fill(mask.pixels.begin(), mask.pixels.begin() + 128 * 56, 0);  // all but the drums
  const MidiFile after = RefillSong(song, mask, Painter({}, nullptr, 0), "song");
  for (size_t track = 0; track < 4; ++track) EXPECT_EQ(after.tracks[track], song.tracks[track]);
  EXPECT_THAT(Rolled(after).notes, SizeIs(static_cast<size_t>(std::count_if(
                                       before.notes.begin(), before.notes.end(),
                                       [](const MidiNote& note) { return note.track < 4; }))));
}

TEST(RefillSong, ShowsLaterWindowsWhatEarlierOnesGot) {
  const MidiFile song = EmptySong(8);
  std::vector<int64_t> sounding;
  const PaintRoll paint = [&](const Image& window, const Image& mask) {
    EXPECT_EQ(mask.width, kWindowSteps);
    sounding.push_back(std::count(window.pixels.begin(), window.pixels.end(), 128 + 70));
    std::vector<RollNote> notes;
    for (int64_t step = 0; step < 64; step += 16) {
      notes.push_back({RollLayer::kMelody, step, 16, 72, 70});
    }
    return DrawRoll(notes, 0, kWindowSteps);
  };
  const MidiFile after = RefillSong(song, BarMask(RollGrid(song, "song"), 0, 7), paint, "song");
  EXPECT_THAT(sounding, ElementsAre(0, 1, 2));
  EXPECT_THAT(NotesOf(after), SizeIs(8));
  EXPECT_EQ(after.tracks[0].events[0], (MidiEvent{0, 0xc0, 0, {73}}));  // a flute plays them
}

TEST(RefillSong, LeavesNotesThatStayTheirTime) {
  MidiFile song = EmptySong(1);
  const std::vector<MidiNote> stays = {{0, 0, 72, 9, 0, 4 * kTicks}, {0, 0, 72, 8, 960, 1000}};
  ReplaceNotes(song, {}, stays);
  Image mask = BarMask(RollGrid(song, "song"), 0, 0);
  for (int row = 0; row < kRollRows; ++row) {
    for (const int step : {0, 8}) mask.pixels[static_cast<size_t>(row * 16 + step)] = 0;
  }
  const std::vector<RollNote> fresh = {{RollLayer::kMelody, 2, 4, 72, 70},    // while one sounds
                                       {RollLayer::kMelody, 5, 16, 72, 71}};  // until the next
  EXPECT_THAT(NotesOf(RefillSong(song, mask, Painter(fresh, nullptr, 0), "song")),
              ElementsAre(stays[0], MidiNote{0, 0, 72, 71, 5 * kTicks, 8 * kTicks}, stays[1]));
}

TEST(RefillSong, AddsATrackForALayerThatIsNew) {
  MidiFile song = EmptySong(4, 2);
  ReplaceNotes(song, {}, std::vector<MidiNote>{{1, 0, 72, 9, 0, 60}});
  const std::vector<RollNote> fresh = {{RollLayer::kBass, 17, 1, 40, 70},
                                       {RollLayer::kDrums, 18, 1, 36, 71}};
  const MidiFile after =
      RefillSong(song, BarMask(RollGrid(song, "song"), 1, 1), Painter(fresh, nullptr, 0), "song");
  ASSERT_THAT(after.tracks, SizeIs(4));
  EXPECT_EQ(after.tracks[2].events[1], (MidiEvent{0, 0xc1, 0, {33}}));
  EXPECT_EQ(after.tracks[2].events[0], (MidiEvent{0, kMidiMeta, kMidiTrackName, "bass"}));
  EXPECT_THAT(
      NotesOf(after),
      ElementsAre(MidiNote{1, 0, 72, 9, 0, 60}, MidiNote{2, 1, 40, 70, 17 * kTicks, 18 * kTicks},
                  MidiNote{3, kDrumChannel, 36, 71, 18 * kTicks, 19 * kTicks}));
}

TEST(RefillSong, RefusesOtherTimesAndMasksOfAnotherSize) {
  MidiFile song = EmptySong(4);
  song.tracks[0].events = {TimeSignature(0, 3, 2)};
  const RollGrid grid(song, "song");
  ExpectError(ErrorKind::kUnsupported, {"song: bar 1 is in 3/4", "have to be in 4/4"},
              [&] { RefillSong(song, BarMask(grid, 0, 0), Painter({}, nullptr, 0), "song"); });
  ExpectError(ErrorKind::kShape, {"the mask is 16 x 64 pixels; the roll of song is 72 x 64"}, [&] {
    const Image mask = BarMask(RollGrid(EmptySong(1), "one"), 0, 0);
    RefillSong(song, mask, Painter({}, nullptr, 0), "song");
  });
  ExpectError(ErrorKind::kUsage, {"bars 2-7: the song has the bars 1 to 6"},
              [&] { BarMask(grid, 1, 6); });
}

}  // namespace
}  // namespace gesso
