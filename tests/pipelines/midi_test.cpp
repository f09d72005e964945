// MIDI files: what is read, refused and kept.
#include "pipelines/media/midi/midi_file.h"

#include <gmock/gmock.h>

#include "pipelines/media/midi/notes.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

using ::testing::ElementsAre;

std::string Bytes(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes += static_cast<char>(value);
  return bytes;
}

std::string Chunk(const std::string& type, const std::string& data) {
  return type + Bytes({0, 0, static_cast<int>(data.size() >> 8), static_cast<int>(data.size())}) +
         data;
}

std::string Header(int format, int tracks, int division = 96) {
  return Chunk("MThd", Bytes({0, format, 0, tracks, division >> 8, division & 0xff}));
}

const std::string kEnd = Bytes({0, 0xff, 0x2f, 0});

std::string Song(const std::string& events) { return Header(0, 1) + Chunk("MTrk", events + kEnd); }

TEST(MidiFile, ReadsRunningStatusAndLongTimes) {
  const MidiFile file = ParseMidi(
      Song(Bytes({0, 0x90, 60, 100, 0x60, 62, 90, 0x81, 0x48, 60, 0, 0, 62, 0})), "a.mid");
  EXPECT_EQ(file.ticks_per_quarter, 96);
  ASSERT_EQ(file.tracks.size(), 1u);
  EXPECT_EQ(file.tracks[0].end, 96 + 200);
  EXPECT_EQ(file.tracks[0].events[1], (MidiEvent{96, 0x90, 0, Bytes({62, 90})}));
  EXPECT_THAT(NotesOf(file),
              ElementsAre(MidiNote{0, 0, 60, 100, 0, 296}, MidiNote{0, 0, 62, 90, 96, 296}));
}

TEST(MidiFile, KeepsEveryEventThroughSaving) {
  const std::string events =
      Bytes({0, 0xff, 0x03, 2, 'h', 'i', 0, 0xff, 0x51, 3, 7, 0xa1, 0x20}) +  // name, tempo
      Bytes({0, 0xff, 0x58, 4, 3, 2, 24, 8, 0, 0xff, 0x7a, 3, 1, 2, 0xff}) +  // 3/4, unknown
      Bytes({0, 0xf0, 3, 0x7e, 9, 0xf7, 5, 0xf7, 2, 0xf3, 1}) +               // exclusive, escape
      Bytes({0, 0xc3, 40, 0, 0xb3, 7, 99, 0, 0xe3, 0, 64, 0, 0xd3, 5}) +
      Bytes({0, 0xa3, 60, 3, 0x87, 0xff, 0xff, 0x7f, 0x93, 60, 1});
  const std::string bytes = Header(1, 2) + Chunk("MTrk", events + kEnd) + Chunk("XFIH", "kept") +
                            Chunk("MTrk", Bytes({0x40}) + kEnd.substr(1));
  const MidiFile file = ParseMidi(bytes, "a.mid");
  EXPECT_EQ(file.tracks[0].events.size(), 12u);
  EXPECT_EQ(file.tracks[1].end, 64);
  EXPECT_THAT(file.others, ElementsAre(MidiChunk{"XFIH", "kept"}));
  EXPECT_EQ(ParseMidi(SerializeMidi(file), "again"), file);
  EXPECT_EQ(SerializeMidi(file).size(), bytes.size());
}

TEST(MidiFile, ReadsATrackWithoutItsEnd) {
  const MidiFile file =
      ParseMidi(Header(0, 1) + Chunk("MTrk", Bytes({0, 0x90, 60, 9, 7, 0x80, 60, 0})), "a.mid");
  EXPECT_THAT(NotesOf(file), ElementsAre(MidiNote{0, 0, 60, 9, 0, 7}));
}

TEST(MidiFile, RefusesWhatIsNotWhole) {
  const auto refused = [](const std::string& bytes, const std::string& message) {
    ExpectError(ErrorKind::kFormat, {"a.mid: byte " + message}, [&] { ParseMidi(bytes, "a.mid"); });
  };
  refused("", "0: 4 bytes are expected where 0 are left");
  refused("MThd", "4: 4 bytes are expected where 0 are left");
  refused("RIFF....", "0: is not a MIDI file");
  refused(Chunk("MThd", Bytes({0, 0, 0, 1, 0})), "4: a header of 5 bytes instead of 6");
  refused(Header(3, 1), "8: format 3 is none of 0, 1 and 2");
  refused(Header(0, 2), "10: 2 tracks in a file of format 0");
  refused(Header(1, 0), "10: 0 tracks");
  refused(Header(1, 1, 0), "12: 0 ticks a quarter");
  refused(Header(1, 2) + Chunk("MTrk", kEnd), "26: the file ends after 1 of 2 tracks");
  refused(Header(1, 1) + Chunk("MTrk", kEnd) + Chunk("MTrk", kEnd), "26: a track more than the 1");
  refused(Header(1, 1) + "MTrk" + Bytes({0x7f, 0, 0, 0, 0}), "22: 2130706432 bytes are expected");
  refused(Header(1, 1) + Header(1, 1), "14: a second header");
  refused(Song(Bytes({0, 60, 100})), "23: data where an event has to begin");
  refused(Song(Bytes({0, 0x90, 60, 0x90})), "25: an event inside of another");
  refused(Song(Bytes({0, 0xf1, 0})), "23: 0xf1 is no event of files");
  refused(Song(Bytes({0xff, 0xff, 0xff, 0xff, 0x7f})), "22: a number of more than four bytes");
  refused(Song(Bytes({0, 0xff, 0x01, 100})), "26: 100 bytes are expected where 4 are left");
  refused(Song(Bytes({0, 0xff, 0x51, 1, 0})), "23: a tempo of 1 bytes instead of 3");
  refused(Song(Bytes({0, 0xff, 0x58, 4, 0, 2, 24, 8})), "23: a time signature of 0/2^2");
  refused(Song(Bytes({0, 0xff, 0x2f, 0})), "26: bytes behind the end of the track");
  refused(Song(Bytes({0, 0xf0, 0, 0, 60, 1})), "26: data where an event has to begin");
}

TEST(MidiFile, RefusesWhatItDoesNotSupport) {
  ExpectError(ErrorKind::kUnsupported, {"a.mid: byte 12: times in SMPTE frames are not supported"},
              [] { ParseMidi(Header(1, 1, 0xe728), "a.mid"); });
  ExpectError(ErrorKind::kUnsupported, {"a.mid: byte 8: format 2"},
              [] { ParseMidi(Header(2, 1), "a.mid"); });
}

TEST(MidiFile, RefusesToSaveATimeTheFormatCannotSay) {
  MidiFile file{
      .format = 0, .ticks_per_quarter = 96, .tracks = {{{}, int64_t{1} << 28}}, .others = {}};
  ExpectError(ErrorKind::kUnsupported, {"268435456 ticks"}, [&] { SerializeMidi(file); });
  file.tracks[0].end -= 1;
  EXPECT_EQ(ParseMidi(SerializeMidi(file), "a.mid"), file);
}

TEST(MidiNotes, PairOverlappingMissingAndStrayEnds) {
  const MidiFile file = ParseMidi(
      Song(Bytes({0, 0x80, 60, 0}) +                                  // stray end
           Bytes({0, 0x90, 60, 1, 4, 0x90, 60, 2, 4, 0x80, 60, 0}) +  // overlap
           Bytes({4, 0x80, 60, 0, 0, 0x91, 60, 3, 8, 0x80, 60, 0})),  // other channel, no end
      "a.mid");
  EXPECT_THAT(NotesOf(file), ElementsAre(MidiNote{0, 0, 60, 1, 0, 8}, MidiNote{0, 0, 60, 2, 4, 12},
                                         MidiNote{0, 1, 60, 3, 12, 20}));
}

TEST(MidiNotes, AreReplacedAndNothingElse) {
  const MidiFile before =
      ParseMidi(Song(Bytes({0, 0xc0, 5, 0, 0x90, 60, 1, 0, 0xb0, 64, 127, 9, 0x80, 60, 33}) +
                     Bytes({0, 0xb0, 64, 0, 0, 0x90, 60, 7, 8, 60, 0})),
                "a.mid");
  MidiFile after = before;
  const std::vector<MidiNote> notes = NotesOf(before);
  const std::vector<MidiNote> added = {{0, 0, 60, 50, 4, 9}, {0, 0, 72, 51, 17, 40}};
  ReplaceNotes(after, std::span(notes).first(1), added);
  EXPECT_THAT(NotesOf(after), ElementsAre(added[0], notes[1], added[1]));
  EXPECT_EQ(after.tracks[0].end, 40);
  ReplaceNotes(after, added, std::span(notes).first(1));
  EXPECT_EQ(NotesOf(after), notes);
  const auto others = [](MidiFile file) {
    std::erase_if(file.tracks[0].events, [](const MidiEvent& e) { return (e.status >> 4) <= 9; });
    return file.tracks[0].events;
  };
  EXPECT_EQ(others(after), others(before));
}

TEST(MidiNotes, BeginAfterAndEndBeforeWhatElseIsAtTheirTick) {
  MidiFile file = ParseMidi(Song(Bytes({8, 0xc0, 5, 0, 0xb0, 64, 127, 8, 0xb0, 64, 0})), "a.mid");
  ReplaceNotes(file, {}, std::vector<MidiNote>{{0, 0, 60, 1, 8, 16}, {0, 0, 60, 2, 2, 8}});
  std::vector<std::pair<int64_t, int>> found;
  for (const MidiEvent& event : file.tracks[0].events) found.emplace_back(event.tick, event.status);
  using Event = std::pair<int64_t, int>;
  EXPECT_THAT(found, ElementsAre(Event{2, 0x90}, Event{8, 0x80}, Event{8, 0xc0}, Event{8, 0xb0},
                                 Event{8, 0x90}, Event{16, 0x80}, Event{16, 0xb0}));
}

// One by one these would move 10^12 events.
TEST(MidiNotes, AreInsertedInHugeNumbers) {
  constexpr int64_t kNotes = 400'000;
  std::vector<MidiNote> notes;
  for (int64_t i = kNotes - 1; i >= 0; --i) {  // the last first
    notes.push_back({0, 0, static_cast<uint8_t>(i % 128), 1, 3 * i, 3 * i + 3});
  }
  MidiFile file = ParseMidi(Song(""), "a.mid");
  ReplaceNotes(file, {}, notes);
  EXPECT_EQ(file.tracks[0].end, 3 * kNotes);
  std::ranges::reverse(notes);
  ASSERT_EQ(NotesOf(file), notes);
  ReplaceNotes(file, notes, std::span(notes).first(1));
  EXPECT_THAT(NotesOf(file), ElementsAre(notes[0]));
}

TEST(MidiBars, FollowTimeSignatures) {
  const MidiFile file = ParseMidi(
      Header(1, 2) +
          Chunk("MTrk", Bytes({0, 0xff, 0x58, 4, 3, 2, 24, 8}) +               // 3/4: 288 ticks
                            Bytes({0x83, 0x60, 0xff, 0x58, 4, 6, 3, 24, 8}) +  // at 480: 6/8
                            kEnd) +
          Chunk("MTrk", Bytes({0x87, 0x68}) + kEnd.substr(1)),  // 1000
      "a.mid");
  EXPECT_THAT(BarsOf(file, "a.mid"),
              ElementsAre(MidiBar{0, 288, 3, 4}, MidiBar{288, 480, 3, 4}, MidiBar{480, 768, 6, 8},
                          MidiBar{768, 1056, 6, 8}));
}

TEST(MidiBars, AreLimited) {
  const MidiFile file{.format = 0, .ticks_per_quarter = 1, .tracks = {{{}, 1 << 20}}, .others = {}};
  ExpectError(ErrorKind::kUnsupported, {"a.mid: has more than 4096 bars"},
              [&] { BarsOf(file, "a.mid"); });
}

}  // namespace
}  // namespace gesso
