#include "pipelines/media/midi/refill.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "kernels/core/error.h"
#include "pipelines/media/midi/key.h"

namespace gesso {

namespace {

constexpr int kChannels = 16;

bool IsMasked(const Image& mask, int64_t row, int64_t step) {
  return step < mask.width &&
         mask.pixels[static_cast<size_t>(row * mask.width + step)] >= kRollMasked;
}

bool IsMaskedColumn(const Image& mask, int64_t step) {
  for (int row = 0; row < mask.height; ++row) {
    if (IsMasked(mask, row, step)) return true;
  }
  return false;
}

// The columns [first, first + kWindowSteps) of a mask `shift` semitones higher, black behind its
// end and before `begin`, up to which all is composed.
Image Cut(const Image& mask, int64_t first, int64_t begin, int shift) {
  Image part{.width = kWindowSteps, .height = mask.height, .channels = 1, .pixels = {}};
  for (int row = 0; row < mask.height; ++row) {
    const std::optional<int> pitch = RollPitchOf(row);
    const int from = pitch ? *RollRowOf(RollLayer::kMelody, *pitch - shift) : row;
    for (int64_t column = 0; column < kWindowSteps; ++column) {
      const int64_t step = first + column;
      part.pixels.push_back(step >= begin && IsMasked(mask, from, step) ? 255 : 0);
    }
  }
  return part;
}

// Whether a note begins under the mask; notes without a row never do.
bool Begins(const RollNote& note, const Image& mask) {
  const std::optional<int> row = RollRowOf(note.layer, note.pitch);
  return row && IsMasked(mask, *row, note.step);
}

// The first bars of the windows that cover all masked bars: up to kFresh of them each, with bars
// around them on both sides where there are any.
struct Window {
  size_t first = 0;  // bar
  size_t begin = 0;  // bars that are composed in it
  size_t end = 0;
};

std::vector<Window> WindowsOf(const RollGrid& grid, const Image& mask, const std::string& name) {
  constexpr size_t kFresh = 3;
  const size_t bars = grid.bars().size();
  std::vector<char> masked;
  for (size_t bar = 0; bar < bars; ++bar) {
    bool any = false;
    for (int64_t s = grid.FirstStep(bar); s < grid.FirstStep(bar + 1); ++s) {
      any = any || IsMaskedColumn(mask, s);
    }
    masked.push_back(any ? 1 : 0);
  }
  std::vector<Window> windows;
  for (size_t bar = 0; bar < bars;) {
    if (masked[bar] == 0) {
      ++bar;
      continue;
    }
    size_t end = bar + 1;
    while (end < bars && masked[end] != 0 && end - bar < kFresh) ++end;
    const size_t before = (kWindowBars - (end - bar) + 1) / 2;
    size_t first = bar > before ? bar - before : 0;
    first = std::min(first, bars > kWindowBars ? bars - kWindowBars : 0);
    for (size_t i = first; i < std::min(bars, first + kWindowBars); ++i) {
      const MidiBar& shown = grid.bars()[i];
      const bool common =
          grid.FirstStep(i + 1) - grid.FirstStep(i) == kStepsPerWholeNote && shown.beats == 4;
      Require(common, ErrorKind::kUnsupported,
              "{}: bar {} is in {}/{}; bars beside masked ones have to be in 4/4", name, i + 1,
              shown.beats, shown.unit);
    }
    windows.push_back({first, bar, end});
    bar = end;
  }
  return windows;
}

// The instrument of a layer that a song did not have, a program of General MIDI from 0.
uint8_t ProgramOf(RollLayer layer) {
  constexpr std::array<uint8_t, 4> kPrograms = {73, 0, 33, 0};  // flute, piano, finger bass
  return kPrograms[static_cast<size_t>(layer)];
}

// Where new notes of a layer go: the part with most of its notes, or a new one.
class Parts {
 public:
  Parts(MidiFile& song, std::span<const MidiNote> notes, std::span<const RollLayer> layers)
      : song_(song) {
    std::map<std::pair<RollLayer, Part>, int64_t> counts;
    for (size_t i = 0; i < notes.size(); ++i) {
      const Part part = {notes[i].track, notes[i].channel};
      const int64_t count = ++counts[{layers[i], part}];
      auto [known, fresh] = parts_.try_emplace(layers[i], part);
      if (!fresh && count > counts[{layers[i], known->second}]) known->second = part;
    }
    for (const MidiTrack& track : song.tracks) {
      for (const MidiEvent& event : track.events) {
        if (event.status < 0xf0) used_.insert(event.status & 0x0f);
      }
    }
  }

  // Track and channel.
  std::pair<size_t, uint8_t> Of(RollLayer layer) {
    const auto known = parts_.find(layer);
    return known != parts_.end() ? known->second : (parts_[layer] = Add(layer));
  }

 private:
  using Part = std::pair<size_t, uint8_t>;

  Part Add(RollLayer layer) {
    uint8_t channel = kDrumChannel;
    if (layer != RollLayer::kDrums) {
      channel = 0;
      while (channel < kChannels && (channel == kDrumChannel || used_.contains(channel))) ++channel;
      Require(channel < kChannels, ErrorKind::kUnsupported,
              "no MIDI channel is free for the {} that the song has not had",
              kRollLayerNames[static_cast<size_t>(layer)]);
      used_.insert(channel);
    }
    MidiTrack track;
    if (song_.format == 1) {
      track.events.push_back({.status = kMidiMeta,
                              .meta = kMidiTrackName,
                              .data = std::string(kRollLayerNames[static_cast<size_t>(layer)])});
      song_.tracks.push_back(track);
    }
    auto& events = song_.tracks.back().events;
    if (layer != RollLayer::kDrums) {
      const auto first = std::find_if(events.begin(), events.end(),
                                      [](const MidiEvent& event) { return event.tick > 0; });
      events.insert(first, {.status = static_cast<uint8_t>(0xc0 | channel),
                            .data = {static_cast<char>(ProgramOf(layer))}});
    }
    return {song_.tracks.size() - 1, channel};
  }

  MidiFile& song_;
  std::map<RollLayer, Part> parts_;
  std::set<int> used_;  // channels
};

// The notes that stay, by track, channel and pitch: only those of its own are in a note's way.
using Strings = std::map<std::tuple<size_t, uint8_t, uint8_t>, std::vector<MidiNote>>;

std::vector<MidiNote>& StringOf(Strings& strings, const MidiNote& note) {
  return strings[{note.track, note.channel, note.pitch}];
}

// A note read from a painted window as one of the song, or nothing where no time is left for it:
// it ends with the mask and before notes of its channel and pitch that stay.
std::optional<MidiNote> Fitted(const RollNote& painted, const RollGrid& grid, const Image& mask,
                               std::pair<size_t, uint8_t> part, Strings& kept) {
  int64_t end = painted.step + 1;
  while (end < painted.step + painted.length && IsMaskedColumn(mask, end)) ++end;
  MidiNote note{.track = part.first,
                .channel = part.second,
                .pitch = painted.pitch,
                .velocity = painted.velocity,
                .begin = grid.TickOf(painted.step),
                .end = grid.TickOf(end)};
  for (const MidiNote& other : StringOf(kept, note)) {
    if (other.begin <= note.begin && other.end > note.begin) return std::nullopt;
    if (other.begin >= note.begin) note.end = std::min(note.end, other.begin);
  }
  if (note.begin >= note.end) return std::nullopt;
  return note;
}

}  // namespace

Image BarMask(const RollGrid& grid, size_t first, size_t last) {
  Require(first <= last && last < grid.bars().size(), ErrorKind::kUsage,
          "bars {}-{}: the song has the bars 1 to {}", first + 1, last + 1, grid.bars().size());
  Image mask{
      .width = static_cast<int>(grid.steps()), .height = kRollRows, .channels = 1, .pixels = {}};
  for (int row = 0; row < kRollRows; ++row) {
    for (int64_t step = 0; step < grid.steps(); ++step) {
      const bool inside = step >= grid.FirstStep(first) && step < grid.FirstStep(last + 1);
      mask.pixels.push_back(inside ? 255 : 0);
    }
  }
  return mask;
}

MidiFile RefillSong(const MidiFile& song, const Image& mask, const PaintRoll& paint,
                    const std::string& name, std::optional<int> key) {
  const RollGrid grid(song, name);
  Require(mask.channels == 1 && mask.height == kRollRows && mask.width == grid.steps(),
          ErrorKind::kShape, "the mask is {} x {} pixels; the roll of {} is {} x {}", mask.width,
          mask.height, name, grid.steps(), kRollRows);
  const std::vector<MidiNote> notes = NotesOf(song);
  const std::vector<RollLayer> layers = LayersOf(song, notes);
  const std::vector<RollNote> rolled = Quantise(grid, notes, layers);
  Strings kept;
  std::vector<MidiNote> removed;
  std::vector<RollNote> shown;  // what a model sees: what stays, and what is new so far
  for (size_t i = 0; i < notes.size(); ++i) {
    const bool gone = Begins(rolled[i], mask);
    (gone ? removed : StringOf(kept, notes[i])).push_back(notes[i]);
    if (!gone) shown.push_back(rolled[i]);
  }
  const int shift = ShiftToC(shown, key ? *key : KeyOf(shown));
  MidiFile result = song;
  Parts parts(result, notes, layers);
  std::vector<MidiNote> added;
  for (const Window& window : WindowsOf(grid, mask, name)) {
    const int64_t first = grid.FirstStep(window.first);
    const Image painted = paint(DrawRoll(Transposed(shown, shift), first, kWindowSteps),
                                Cut(mask, first, grid.FirstStep(window.begin), shift));
    for (const RollNote& note : Transposed(ReadRoll(painted, first), -shift)) {
      const bool due = note.step >= grid.FirstStep(window.begin) &&
                       note.step < grid.FirstStep(window.end) && Begins(note, mask);
      if (!due) continue;
      const auto fitted = Fitted(note, grid, mask, parts.Of(note.layer), kept);
      if (!fitted) continue;
      added.push_back(*fitted);
      StringOf(kept, *fitted).push_back(*fitted);
      shown.push_back(note);
    }
  }
  ReplaceNotes(result, removed, added);
  return result;
}

}  // namespace gesso
