// What sounds in a MIDI file: its notes, and the bars that its time signatures make.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipelines/media/midi/midi_file.h"

namespace gesso {

struct MidiNote {
  size_t track = 0;
  uint8_t channel = 0;   // 0 .. 15
  uint8_t pitch = 0;     // 0 .. 127, 60 is the middle C
  uint8_t velocity = 1;  // 1 .. 127
  int64_t begin = 0;     // ticks
  int64_t end = 0;
  auto operator<=>(const MidiNote&) const = default;
};

constexpr uint8_t kDrumChannel = 9;

// All notes by track, then by begin. An end of note belongs to the oldest note of its channel and
// pitch that still sounds; one without any is passed over, and a note without an end lasts until
// the end of its track. A note of velocity 0 is an end.
std::vector<MidiNote> NotesOf(const MidiFile& file);

// Replaces notes of a file: `removed`, of NotesOf(file), lose their events, `added` get theirs; all
// other events stay as they are and keep their order.
void ReplaceNotes(MidiFile& file, std::span<const MidiNote> removed,
                  std::span<const MidiNote> added);

struct MidiBar {
  int64_t begin = 0;  // ticks
  int64_t end = 0;
  int beats = 4;  // of 1 / unit
  int unit = 4;
  bool operator==(const MidiBar&) const = default;
};

// The bars from the beginning to the last event, 4/4 until a time signature says otherwise; one
// inside a bar ends it. Throws kUnsupported, naming `name`, for more than kMaxMidiBars.
std::vector<MidiBar> BarsOf(const MidiFile& file, const std::string& name);
constexpr size_t kMaxMidiBars = 4096;

}  // namespace gesso
