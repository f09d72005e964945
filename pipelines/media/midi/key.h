// Keys of songs. A minor key counts as its relative major key, which has the same notes: a key is
// the pitch class of a major scale's tonic, 0 (C) .. 11 (B).
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "pipelines/media/midi/piano_roll.h"

namespace gesso {

// The key that notes are most likely in, by how long each pitch class sounds beside what is usual
// in major and in harmonic minor; drums say nothing. C where nothing is said. (Krumhansl, Cognitive
// Foundations of Musical Pitch, 1990, with profiles that tell scales rather than tonics apart.)
int KeyOf(std::span<const RollNote> notes);

// The key that a prompt names ("a jazz song in d minor", "E-flat major", "F# minor"), the last of
// several. "a major" and "a minor" are keys only at the end of a phrase: "a major hit" is none.
std::optional<int> KeyNamedIn(std::string_view prompt);

// Semitones, -11 .. 11, by which notes in `key` go up to be in C major or a minor; of the two ways
// the one that moves fewer of them, drums aside, beyond the rows of a picture, then the shorter.
int ShiftToC(std::span<const RollNote> notes, int key);

// The notes `semitones` higher, drums as they are; octaves nearer where MIDI's pitches end.
std::vector<RollNote> Transposed(std::span<const RollNote> notes, int semitones);

}  // namespace gesso
