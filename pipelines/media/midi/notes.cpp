#include "pipelines/media/midi/notes.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <utility>

#include "kernels/core/error.h"

namespace gesso {

namespace {

constexpr uint8_t kNoteOff = 0x80;
constexpr uint8_t kNoteOn = 0x90;
constexpr uint8_t kEndVelocity = 64;  // of ends that are added, the value RP-001 recommends

uint8_t KindOf(const MidiEvent& event) { return event.status & 0xf0U; }
uint8_t ByteOf(const MidiEvent& event, size_t i) { return static_cast<uint8_t>(event.data[i]); }
bool IsBegin(const MidiEvent& event) { return KindOf(event) == kNoteOn && ByteOf(event, 1) > 0; }
bool IsEnd(const MidiEvent& event) {
  return KindOf(event) == kNoteOff || (KindOf(event) == kNoteOn && ByteOf(event, 1) == 0);
}

// A note and where its events are in its track; without an end, `off` is the number of events.
struct Placed {
  MidiNote note;
  size_t on = 0;
  size_t off = 0;
};

std::vector<Placed> PlacedNotes(const MidiTrack& track, size_t index) {
  std::vector<Placed> notes;
  std::map<std::pair<int, int>, std::deque<size_t>> sounding;  // by channel and pitch
  for (size_t i = 0; i < track.events.size(); ++i) {
    const MidiEvent& event = track.events[i];
    if (!IsBegin(event) && !IsEnd(event)) continue;
    const auto channel = static_cast<uint8_t>(event.status & 0x0fU);
    std::deque<size_t>& open = sounding[{channel, ByteOf(event, 0)}];
    if (IsBegin(event)) {
      open.push_back(notes.size());
      notes.push_back({.note = {.track = index,
                                .channel = channel,
                                .pitch = ByteOf(event, 0),
                                .velocity = ByteOf(event, 1),
                                .begin = event.tick,
                                .end = track.end},
                       .on = i,
                       .off = track.events.size()});
    } else if (!open.empty()) {
      notes[open.front()].note.end = event.tick;
      notes[open.front()].off = i;
      open.pop_front();
    }
  }
  return notes;
}

// `removed` in order.
void Erase(MidiTrack& track, const std::vector<Placed>& notes,
           const std::vector<MidiNote>& removed) {
  std::vector<char> gone(track.events.size() + 1, 0);
  for (const Placed& placed : notes) {
    if (!std::binary_search(removed.begin(), removed.end(), placed.note)) continue;
    gone[placed.on] = gone[placed.off] = 1;
  }
  size_t i = 0;
  std::erase_if(track.events, [&](const MidiEvent&) { return gone[i++] != 0; });
}

MidiEvent NoteEvent(int64_t tick, uint8_t kind, const MidiNote& note, uint8_t velocity) {
  return {.tick = tick,
          .status = static_cast<uint8_t>(kind | note.channel),
          .meta = 0,
          .data = {static_cast<char>(note.pitch), static_cast<char>(velocity)}};
}

// What notes add to a track.
struct NewEvents {
  std::vector<MidiEvent> ends;
  std::vector<MidiEvent> begins;
};

// Ends come before what else happens at their tick and begins after it, so that a note may follow
// another of its pitch, and a program change there counts for it.
void Insert(MidiTrack& track, NewEvents added) {
  const auto by_tick = [](const MidiEvent& a, const MidiEvent& b) { return a.tick < b.tick; };
  const auto merged = [&](std::vector<MidiEvent>& first, std::vector<MidiEvent>& second) {
    std::vector<MidiEvent> all;
    all.reserve(first.size() + second.size());
    std::merge(std::move_iterator(first.begin()), std::move_iterator(first.end()),
               std::move_iterator(second.begin()), std::move_iterator(second.end()),
               std::back_inserter(all), by_tick);
    return all;
  };
  std::ranges::stable_sort(added.ends, by_tick);
  std::ranges::stable_sort(added.begins, by_tick);
  if (!added.ends.empty()) track.end = std::max(track.end, added.ends.back().tick);
  std::vector<MidiEvent> with_ends = merged(added.ends, track.events);
  track.events = merged(with_ends, added.begins);
}

}  // namespace

std::vector<MidiNote> NotesOf(const MidiFile& file) {
  std::vector<MidiNote> notes;
  for (size_t i = 0; i < file.tracks.size(); ++i) {
    for (const Placed& placed : PlacedNotes(file.tracks[i], i)) notes.push_back(placed.note);
  }
  return notes;
}

void ReplaceNotes(MidiFile& file, std::span<const MidiNote> removed,
                  std::span<const MidiNote> added) {
  std::vector<MidiNote> sorted(removed.begin(), removed.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<NewEvents> events(file.tracks.size());
  for (const MidiNote& note : added) {
    CHECK(note.track < file.tracks.size() && note.begin < note.end && note.velocity > 0);
    events[note.track].ends.push_back(NoteEvent(note.end, kNoteOff, note, kEndVelocity));
    events[note.track].begins.push_back(NoteEvent(note.begin, kNoteOn, note, note.velocity));
  }
  for (size_t i = 0; i < file.tracks.size(); ++i) {
    Erase(file.tracks[i], PlacedNotes(file.tracks[i], i), sorted);
    Insert(file.tracks[i], std::move(events[i]));
  }
}

std::vector<MidiBar> BarsOf(const MidiFile& file, const std::string& name) {
  std::map<int64_t, std::pair<int, int>> signatures = {{0, {4, 4}}};
  int64_t end = 1;
  for (const MidiTrack& track : file.tracks) {
    end = std::max(end, track.end);
    for (const MidiEvent& event : track.events) {
      if (event.status != kMidiMeta || event.meta != kMidiTimeSignature) continue;
      signatures[event.tick] = {ByteOf(event, 0), 1 << ByteOf(event, 1)};
    }
  }
  std::vector<MidiBar> bars;
  for (auto current = signatures.begin(); current != signatures.end(); ++current) {
    const auto [beats, unit] = current->second;
    const auto following = std::next(current);
    const int64_t until = following == signatures.end() ? end : following->first;
    const int64_t length = std::max<int64_t>(1, int64_t{4} * file.ticks_per_quarter * beats / unit);
    for (int64_t begin = current->first; begin < until; begin += length) {
      Require(bars.size() < kMaxMidiBars, ErrorKind::kUnsupported, "{}: has more than {} bars",
              name, kMaxMidiBars);
      const bool cut = following != signatures.end() && begin + length > until;
      bars.push_back({begin, cut ? until : begin + length, beats, unit});
    }
  }
  return bars;
}

}  // namespace gesso
