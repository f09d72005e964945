// The key of a song, and the way to C.
#include "pipelines/media/midi/key.h"

#include <gmock/gmock.h>

#include <string>

namespace gesso {
namespace {

using ::testing::Optional;

std::vector<RollNote> Melody(std::initializer_list<int> pitches) {
  std::vector<RollNote> notes;
  for (const int pitch : pitches) {
    notes.push_back({.layer = RollLayer::kMelody, .pitch = static_cast<uint8_t>(pitch)});
  }
  return notes;
}

TEST(Key, IsThatOfTheScale) {
  for (int tonic = 0; tonic < 12; ++tonic) {
    std::vector<RollNote> major = Melody({60, 62, 64, 65, 67, 69, 71, 72});
    std::vector<RollNote> minor = Melody({57, 59, 60, 62, 64, 65, 68, 69});  // harmonic
    // Drums are no pitches.
    for (int i = 0; i < 9; ++i) major.push_back({.layer = RollLayer::kDrums, .pitch = 42});
    EXPECT_EQ(KeyOf(Transposed(major, tonic)), tonic);
    EXPECT_EQ(KeyOf(Transposed(minor, tonic)), tonic);
  }
  EXPECT_EQ(KeyOf({}), 0);
}

TEST(Key, WeighsNotesByTheirLength) {
  std::vector<RollNote> notes = Melody({60, 64, 67, 65, 71, 66});  // C, with an F and an F sharp
  notes[3].length = 4;
  EXPECT_EQ(KeyOf(notes), 0);
  std::swap(notes[3].length, notes[5].length);
  EXPECT_EQ(KeyOf(notes), 7);
}

TEST(Key, IsReadFromPrompts) {
  EXPECT_THAT(KeyNamedIn("a jazz song in d minor"), Optional(5));
  EXPECT_THAT(KeyNamedIn("E-flat major, slow"), Optional(3));
  EXPECT_THAT(KeyNamedIn("b flat major"), Optional(10));
  EXPECT_THAT(KeyNamedIn("a waltz in F# minor"), Optional(9));
  EXPECT_THAT(KeyNamedIn("Bb major"), Optional(10));
  EXPECT_THAT(KeyNamedIn("D♭ major"), Optional(1));
  EXPECT_THAT(KeyNamedIn("c flat major"), Optional(11));
  EXPECT_THAT(KeyNamedIn("from c major to g major"), Optional(7));
  EXPECT_THAT(KeyNamedIn("a hymn in a minor"), Optional(0));
  EXPECT_THAT(KeyNamedIn("a minor, sad"), Optional(0));
  EXPECT_THAT(KeyNamedIn("in a flat minor mood"), Optional(11));
  EXPECT_EQ(KeyNamedIn("a major hit"), std::nullopt);
  EXPECT_EQ(KeyNamedIn("club minor"), std::nullopt);
  EXPECT_EQ(KeyNamedIn("a pop song"), std::nullopt);
  EXPECT_EQ(KeyNamedIn(""), std::nullopt);
  EXPECT_EQ(KeyNamedIn(std::string(1 << 20, 'a')), std::nullopt);
}

TEST(Key, GoesToCWhereAllNotesHaveRows) {
  EXPECT_EQ(ShiftToC({}, 0), 0);
  EXPECT_EQ(ShiftToC({}, 2), -2);
  EXPECT_EQ(ShiftToC({}, 9), 3);
  EXPECT_EQ(ShiftToC({}, 6), 6);
  EXPECT_EQ(ShiftToC(Melody({37}), 2), 10);      // the lowest row is 36
  EXPECT_EQ(ShiftToC(Melody({89}), 9), -9);      // the highest 91
  EXPECT_EQ(ShiftToC(Melody({37, 89}), 2), -2);  // one of them either way
}

TEST(Key, TransposesAllButDrums) {
  std::vector<RollNote> notes = Melody({0, 60, 127});
  notes.push_back({.layer = RollLayer::kDrums, .pitch = 36});
  const auto pitches = [&](int semitones) {
    std::vector<int> moved;
    for (const RollNote& note : Transposed(notes, semitones)) moved.push_back(note.pitch);
    return moved;
  };
  EXPECT_THAT(pitches(5), ::testing::ElementsAre(5, 65, 120, 36));
  EXPECT_THAT(pitches(-5), ::testing::ElementsAre(7, 55, 122, 36));
}

}  // namespace
}  // namespace gesso
