#include "pipelines/media/midi/piano_roll.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <tuple>

#include "kernels/core/error.h"

namespace gesso {

namespace {

constexpr int kLowest = 36;
constexpr int kOctave = 12;
constexpr uint8_t kFirstOnset = 104;   // of values that are read: halfway between the two that
constexpr uint8_t kFirstSustain = 32;  // are written, where velocities begin at 16

// Rows of drums from the top, as pitches of General MIDI; the first is written, all are shown.
const std::array<std::vector<uint8_t>, 8> kDrums = {{{49, 57, 55, 52},
                                                     {51, 59, 53},
                                                     {50, 48, 47},
                                                     {45, 43, 41},
                                                     {46},
                                                     {42, 44},
                                                     {38, 40, 37, 39},
                                                     {36, 35}}};
constexpr int kPitchRows = kRollRows - static_cast<int>(kDrums.size());
constexpr int kHighest = kLowest + kPitchRows - 1;

int ChannelOf(RollLayer layer) {
  return std::min(static_cast<int>(layer), static_cast<int>(RollLayer::kBass));
}

// Where in a picture's pixels row, column and channel are.
size_t IndexOf(const Image& picture, int row, int64_t column, int channel) {
  return (static_cast<size_t>(row) * static_cast<size_t>(picture.width) +
          static_cast<size_t>(column)) *
             static_cast<size_t>(picture.channels) +
         static_cast<size_t>(channel);
}

// What is known of the notes of one track and channel.
struct Part {
  std::string name;  // of the track, lower case
  int program = 0;
  int64_t notes = 0;
  int64_t pitches = 0;   // their sum
  int64_t together = 0;  // notes that begin with the one before
  int64_t last = -1;     // tick of the one before
};

using PartKey = std::pair<size_t, uint8_t>;  // track, channel

std::string TrackName(const MidiTrack& track) {
  for (const MidiEvent& event : track.events) {
    if (event.status != kMidiMeta || event.meta != kMidiTrackName) continue;
    std::string name = event.data;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return name;
  }
  return {};
}

std::map<PartKey, Part> PartsOf(const MidiFile& file, std::span<const MidiNote> notes) {
  std::map<PartKey, Part> parts;
  for (const MidiNote& note : notes) {
    Part& part = parts[{note.track, note.channel}];
    part.notes += 1;
    part.pitches += note.pitch;
    part.together += note.begin == part.last ? 1 : 0;
    part.last = note.begin;
  }
  for (auto& [key, part] : parts) {
    const MidiTrack& track = file.tracks[key.first];
    const int program_change = 0xc0 | key.second;
    part.name = TrackName(track);
    const auto program =
        std::find_if(track.events.begin(), track.events.end(),
                     [&](const MidiEvent& event) { return event.status == program_change; });
    if (program != track.events.end()) part.program = program->data[0];
  }
  return parts;
}

RollLayer LayerOf(uint8_t channel, const Part& part) {
  const auto named = [&](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
      return part.name.find(word) != std::string::npos;
    });
  };
  if (channel == kDrumChannel) return RollLayer::kDrums;
  if (named({"bass"})) return RollLayer::kBass;
  if (named({"melody", "lead", "solo", "vocal", "voice"})) return RollLayer::kMelody;
  if (named({"chord", "pad", "comp", "rhythm", "accomp"})) return RollLayer::kChords;
  constexpr int kFirstBass = 32;  // of General MIDI's programs, from 0
  constexpr int kLastBass = 39;
  if (part.program >= kFirstBass && part.program <= kLastBass) return RollLayer::kBass;
  constexpr int kHighestBass = 47;  // of the mean pitch: B2
  if (part.pitches <= kHighestBass * part.notes) return RollLayer::kBass;
  return 3 * part.together >= part.notes ? RollLayer::kChords : RollLayer::kMelody;
}

}  // namespace

std::optional<int> RollRowOf(RollLayer layer, int pitch) {
  if (layer == RollLayer::kDrums) {
    for (size_t row = 0; row < kDrums.size(); ++row) {
      const auto& pitches = kDrums[row];
      if (std::find(pitches.begin(), pitches.end(), pitch) != pitches.end()) {
        return kPitchRows + static_cast<int>(row);
      }
    }
    return std::nullopt;
  }
  while (pitch < kLowest) pitch += kOctave;
  while (pitch > kHighest) pitch -= kOctave;
  return kHighest - pitch;
}

bool HasRollRow(int pitch) { return kLowest <= pitch && pitch <= kHighest; }

std::optional<int> RollPitchOf(int row) {
  return row < kPitchRows ? std::optional(kHighest - row) : std::nullopt;
}

RollGrid::RollGrid(const MidiFile& song, const std::string& name)
    : bars_(BarsOf(song, name)), first_{0} {
  for (const MidiBar& bar : bars_) {
    first_.push_back(first_.back() + std::max(1, kStepsPerWholeNote * bar.beats / bar.unit));
  }
  Require(steps() <= kMaxRollSteps, ErrorKind::kUnsupported,
          "{}: is {} sixteenths long, more than {}", name, steps(), kMaxRollSteps);
}

size_t RollGrid::BarOf(int64_t step) const {
  const auto after = std::upper_bound(first_.begin(), first_.end() - 1, step);
  return static_cast<size_t>(std::max<int64_t>(0, after - first_.begin() - 1));
}

int64_t RollGrid::TickOf(int64_t step) const {
  const size_t bar = BarOf(step);
  const int64_t length = bars_[bar].end - bars_[bar].begin;
  return bars_[bar].begin + (step - first_[bar]) * length / StepsOf(bar);
}

int64_t RollGrid::StepOf(int64_t tick) const {
  const auto after = std::upper_bound(bars_.begin(), bars_.end(), tick,
                                      [](int64_t t, const MidiBar& bar) { return t < bar.begin; });
  const auto bar = static_cast<size_t>(std::max<int64_t>(0, after - bars_.begin() - 1));
  const int64_t length = bars_[bar].end - bars_[bar].begin;
  return first_[bar] + ((tick - bars_[bar].begin) * StepsOf(bar) * 2 + length) / (2 * length);
}

std::vector<RollLayer> LayersOf(const MidiFile& file, std::span<const MidiNote> notes) {
  const std::map<PartKey, Part> parts = PartsOf(file, notes);
  std::vector<RollLayer> layers;
  layers.reserve(notes.size());
  for (const MidiNote& note : notes) {
    layers.push_back(LayerOf(note.channel, parts.at({note.track, note.channel})));
  }
  return layers;
}

std::vector<RollNote> Quantise(const RollGrid& grid, std::span<const MidiNote> notes,
                               std::span<const RollLayer> layers) {
  CHECK(notes.size() == layers.size());
  std::vector<RollNote> quantised;
  quantised.reserve(notes.size());
  for (size_t i = 0; i < notes.size(); ++i) {
    const int64_t step = grid.StepOf(notes[i].begin);
    quantised.push_back({.layer = layers[i],
                         .step = step,
                         .length = std::max<int64_t>(1, grid.StepOf(notes[i].end) - step),
                         .pitch = notes[i].pitch,
                         .velocity = notes[i].velocity});
  }
  return quantised;
}

Image DrawRoll(std::span<const RollNote> notes, int64_t first, int columns) {
  Image picture{.width = columns, .height = kRollRows, .channels = 3, .pixels = {}};
  picture.pixels.resize(static_cast<size_t>(columns) * kRollRows * 3);
  for (const bool onsets : {false, true}) {  // which win over what still sounds
    for (const RollNote& note : notes) {
      const std::optional<int> row = RollRowOf(note.layer, note.pitch);
      const int64_t begin = note.step - first;
      const int64_t end = std::min<int64_t>(begin + note.length, columns);
      if (!row || begin >= columns) continue;
      const int channel = ChannelOf(note.layer);
      if (onsets && begin >= 0) {
        uint8_t& pixel = picture.pixels[IndexOf(picture, *row, begin, channel)];
        pixel = std::max(pixel, static_cast<uint8_t>(128 + note.velocity));
      }
      for (int64_t at = std::max<int64_t>(0, begin); !onsets && at < end; ++at) {
        picture.pixels[IndexOf(picture, *row, at, channel)] = kRollSustain;
      }
    }
  }
  return picture;
}

std::vector<RollNote> ReadRoll(const Image& picture, int64_t first) {
  Require(picture.height == kRollRows && picture.channels == 3, ErrorKind::kShape,
          "a piano roll is an RGB picture of {} rows, not one of {} rows and {} channels",
          kRollRows, picture.height, picture.channels);
  std::vector<RollNote> notes;
  const auto value = [&](int row, int64_t column, int channel) {
    return picture.pixels[IndexOf(picture, row, column, channel)];
  };
  for (int row = 0; row < kRollRows; ++row) {
    const bool drums = row >= kPitchRows;
    for (int channel = drums ? 2 : 0; channel < 3; ++channel) {
      for (int64_t column = 0; column < picture.width; ++column) {
        if (value(row, column, channel) < kFirstOnset) continue;
        int64_t end = column + 1;
        while (end < picture.width && value(row, end, channel) >= kFirstSustain &&
               value(row, end, channel) < kFirstOnset) {
          ++end;
        }
        notes.push_back({.layer = drums ? RollLayer::kDrums : static_cast<RollLayer>(channel),
                         .step = first + column,
                         .length = end - column,
                         .pitch = drums ? kDrums[static_cast<size_t>(row - kPitchRows)][0]
                                        : static_cast<uint8_t>(kHighest - row),
                         .velocity = static_cast<uint8_t>(
                             std::clamp(value(row, column, channel) - 128, 1, 127))});
      }
    }
  }
  std::sort(notes.begin(), notes.end(), [](const RollNote& a, const RollNote& b) {
    return std::tie(a.layer, a.step, a.pitch) < std::tie(b.layer, b.step, b.pitch);
  });
  return notes;
}

}  // namespace gesso
