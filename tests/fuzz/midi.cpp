#include "pipelines/media/midi/piano_roll.h"
#include "tests/fuzz/fuzz.h"

// A song that is read has to come back from its own bytes, and be drawn or refused.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gesso;
  return ReadOrRefuse([&] {
    const MidiFile song = ParseMidi(AsText(AsFile(data, size).bytes), "input");
    CHECK(ParseMidi(SerializeMidi(song), "input") == song);
    const std::vector<MidiNote> notes = NotesOf(song);
    MidiFile silent = song;
    ReplaceNotes(silent, notes, {});
    CHECK(NotesOf(silent).empty());
    const RollGrid grid(song, "input");
    const std::vector<RollNote> rolled = Quantise(grid, notes, LayersOf(song, notes));
    ReadRoll(DrawRoll(rolled, 0, static_cast<int>(grid.steps())), 0);
  });
}
