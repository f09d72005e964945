// Composes masked parts of a song again by a model that paints piano rolls; every other note stays
// as it is, to the tick.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "pipelines/media/midi/piano_roll.h"

namespace gesso {

constexpr int kWindowBars = 4;
constexpr int kWindowSteps = kWindowBars * kStepsPerWholeNote;
constexpr uint8_t kRollMasked = 128;  // the lowest value of a mask that is composed again

// A window of a song, kRollRows x kWindowSteps RGB, and its mask of as many grey pixels (255 =
// paint) -> the window with what the mask covers painted again.
using PaintRoll = std::function<Image(const Image& window, const Image& mask)>;

// The mask of the bars first .. last, counted from 0, of a song: grey, kRollRows x grid.steps().
// Throws kUsage for bars that the song does not have.
Image BarMask(const RollGrid& grid, size_t first, size_t last);

// Notes that begin under `mask` (grey, kRollRows x the song's steps, 128 .. 255 = compose again)
// give way to those that `paint` puts there, window by window. It is shown the others, and the
// mask, transposed to C major or a minor, so that models need to know one key: from `key` (of
// key.h), or without one from that which the other notes are most likely in. A new note ends where
// the mask does, or where a note that stays begins. It goes to the part that has most notes of its
// layer; where there is none, a track with a General MIDI instrument is added (in format 0 a
// channel). Throws kShape for a mask of another size and kUnsupported, naming `name`, where masked
// bars, or bars in a window of four with them, are not in 4/4.
MidiFile RefillSong(const MidiFile& song, const Image& mask, const PaintRoll& paint,
                    const std::string& name, std::optional<int> key = std::nullopt);

}  // namespace gesso
