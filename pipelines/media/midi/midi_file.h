// Standard MIDI Files (MIDI Manufacturers Association, RP-001 version 1.0): every event of every
// track is kept as it is, known or not, so that a file that is read and written says the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace gesso {

struct MidiEvent {
  int64_t tick = 0;    // since the beginning of the track
  uint8_t status = 0;  // 0x80 .. 0xef with the channel, 0xf0 or 0xf7 (exclusive), 0xff (meta)
  uint8_t meta = 0;    // the type of a meta event, else 0
  std::string data;    // 1 or 2 bytes below 0x80 of a channel event, else any bytes
  bool operator==(const MidiEvent&) const = default;
};

constexpr uint8_t kMidiMeta = 0xff;
constexpr uint8_t kMidiTrackName = 0x03;
constexpr uint8_t kMidiTempo = 0x51;
constexpr uint8_t kMidiTimeSignature = 0x58;

struct MidiTrack {
  std::vector<MidiEvent> events;  // by tick; without the end of the track
  int64_t end = 0;                // tick of the end of the track, not before its last event
  bool operator==(const MidiTrack&) const = default;
};

struct MidiChunk {
  std::string type;  // 4 bytes, none of those that RP-001 defines
  std::string data;
  bool operator==(const MidiChunk&) const = default;
};

struct MidiFile {
  int format = 1;               // 0 one track, 1 tracks that sound together
  int ticks_per_quarter = 480;  // 1 .. 32767
  std::vector<MidiTrack> tracks;
  std::vector<MidiChunk> others;  // written behind the tracks
  bool operator==(const MidiFile&) const = default;
};

// The file in `bytes`. Throws kFormat naming `name` and the offset of the offending byte for what
// is not a whole and valid file, and kUnsupported for times in SMPTE frames and for format 2, whose
// tracks do not sound together. A track without its end ends with its last event.
MidiFile ParseMidi(std::string_view bytes, const std::string& name);
MidiFile ReadMidi(const std::filesystem::path& path);

// Whether `path` is named as MIDI files are.
bool IsMidiName(const std::filesystem::path& path);

// The bytes of a file that ParseMidi reads as equal to `file`. Throws kUnsupported where more than
// 2^28 - 1 ticks, which the format cannot say, lie between two events.
std::string SerializeMidi(const MidiFile& file);
// Written whole or not at all; throws kOutput.
void WriteMidi(const std::filesystem::path& path, const MidiFile& file, bool overwrite);

}  // namespace gesso
