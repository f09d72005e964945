// A song as a piano roll: notes in layers over a grid of sixteenths, and the roll as a picture
// (Pictures of MIDI: time x pitch, velocity as value, one layer a channel).
//
// A picture has kRollRows rows and a column for each sixteenth. Rows 0 .. 55 are the pitches 91
// down to 36; melody is red, chords are green, bass is blue. The eight lowest rows are drums, in
// blue too: crash, ride, high and low tom, open and closed hi-hat, snare, bass drum. The first
// pixel of a note holds 128 + velocity, the others kRollSustain, so that repeated notes stay apart.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/image.h"
#include "pipelines/media/midi/notes.h"

namespace gesso {

enum class RollLayer : uint8_t { kMelody, kChords, kBass, kDrums };
constexpr std::array<std::string_view, 4> kRollLayerNames = {"melody", "chords", "bass", "drums"};

constexpr int kRollRows = 64;
constexpr uint8_t kRollSustain = 64;
constexpr int kStepsPerWholeNote = 16;
constexpr int64_t kMaxRollSteps = int64_t{1} << 16;

struct RollNote {
  RollLayer layer = RollLayer::kMelody;
  int64_t step = 0;    // where it begins
  int64_t length = 1;  // steps, at least 1
  uint8_t pitch = 60;
  uint8_t velocity = 1;  // 1 .. 127
  bool operator==(const RollNote&) const = default;
};

// The grid of a song: every bar begins on a step of its own, whatever its time signature.
class RollGrid {
 public:
  // Throws as BarsOf, and kUnsupported for more than kMaxRollSteps.
  RollGrid(const MidiFile& song, const std::string& name);

  const std::vector<MidiBar>& bars() const { return bars_; }
  int64_t steps() const { return first_.back(); }
  int64_t FirstStep(size_t bar) const { return first_[bar]; }  // bar 0 .. bars().size()
  size_t BarOf(int64_t step) const;
  int64_t TickOf(int64_t step) const;  // also behind the last bar, in the last bar's measure
  int64_t StepOf(int64_t tick) const;  // the nearest

 private:
  int64_t StepsOf(size_t bar) const { return first_[bar + 1] - first_[bar]; }

  std::vector<MidiBar> bars_;
  std::vector<int64_t> first_;  // step of every bar, and the number of steps
};

// The layer of each of `notes`, which are NotesOf(file). Notes of one track and channel share it:
// channel 10 is drums; others go by their track's name ("melody", "chords", "bass" and what is
// common for them), then by their instrument, then by their notes: low ones are a bass, those that
// begin together are chords, what is left is melody.
std::vector<RollLayer> LayersOf(const MidiFile& file, std::span<const MidiNote> notes);

// The notes on the grid; off-grid times move to the nearest step.
std::vector<RollNote> Quantise(const RollGrid& grid, std::span<const MidiNote> notes,
                               std::span<const RollLayer> layers);

// The row of a picture where a note is: pitches beyond the rows are octaves nearer, drums that have
// no row of their own in the one most like them, or nowhere.
std::optional<int> RollRowOf(RollLayer layer, int pitch);

// Whether a pitch, of no drum, has a row of its own; and the pitch of a row that is no drum's.
bool HasRollRow(int pitch);
std::optional<int> RollPitchOf(int row);

// RGB picture of the steps [first, first + columns).
Image DrawRoll(std::span<const RollNote> notes, int64_t first, int columns);

// The notes of a picture whose first column is step `first`, by layer, step and pitch; rows that
// sound without a beginning in the picture are no notes. Throws kShape unless the picture is RGB
// of kRollRows rows.
std::vector<RollNote> ReadRoll(const Image& picture, int64_t first);

}  // namespace gesso
