#include "pipelines/media/midi/midi_file.h"

#include "kernels/core/error.h"
#include "models/io/json.h"
#include "models/io/output_file.h"
#include "pipelines/media/suffix.h"

namespace gesso {

namespace {

constexpr size_t kMaxFileBytes = size_t{64} << 20;
constexpr uint8_t kExclusive = 0xf0;
constexpr uint8_t kEscape = 0xf7;
constexpr uint8_t kEndOfTrack = 0x2f;
constexpr uint32_t kMaxVariable = (1U << 28) - 1;

// Walks over a part of the file; every read is checked against the part's end.
class Reader {
 public:
  Reader(std::string_view bytes, size_t begin, size_t end, const std::string& name)
      : bytes_(bytes), at_(begin), end_(end), name_(name) {}

  bool done() const { return at_ == end_; }
  size_t at() const { return at_; }
  uint8_t Peek() const {
    RequireBytes(1);
    return static_cast<uint8_t>(bytes_[at_]);
  }
  uint8_t Byte() {
    const uint8_t byte = Peek();
    ++at_;
    return byte;
  }
  std::string_view Bytes(size_t count) {
    RequireBytes(count);
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  uint32_t Integer(size_t count) {  // the highest byte first
    uint32_t value = 0;
    for (const char byte : Bytes(count)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
  uint32_t Variable() {  // seven bits a byte, at most four bytes
    const size_t begin = at_;
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const uint8_t byte = Byte();
      value = value << 7 | (byte & 0x7fU);
      if (byte < 0x80) return value;
    }
    FailAt(begin, "a number of more than four bytes");
  }
  template <class... T>
  [[noreturn]] void FailAt(size_t offset, fmt::format_string<T...> format, T&&... args) const {
    Fail(ErrorKind::kFormat, "{}: byte {}: {}", name_, offset,
         fmt::format(format, std::forward<T>(args)...));
  }

 private:
  void RequireBytes(size_t count) const {
    if (count > end_ - at_) {
      FailAt(at_, "{} {} expected where {} are left", count, count == 1 ? "byte is" : "bytes are",
             end_ - at_);
    }
  }

  std::string_view bytes_;
  size_t at_;
  size_t end_;
  const std::string& name_;
};

size_t DataBytes(uint8_t status) {
  const int kind = status >> 4;
  return kind == 0xc || kind == 0xd ? 1 : 2;  // program change and channel pressure have one
}

// The event at the reader's place; `running` is the status that a channel event may leave out, 0 if
// there is none.
MidiEvent ReadEvent(Reader& reader, int64_t tick, uint8_t& running) {
  MidiEvent event{.tick = tick, .status = 0, .meta = 0, .data = {}};
  const size_t begin = reader.at();
  if (reader.Peek() >= 0x80) {
    event.status = reader.Byte();
  } else if (running != 0) {
    event.status = running;
  } else {
    reader.FailAt(begin, "data where an event has to begin");
  }
  if (event.status < kExclusive) {
    running = event.status;
    for (size_t i = DataBytes(event.status); i > 0; --i) {
      const size_t at = reader.at();
      const uint8_t byte = reader.Byte();
      if (byte >= 0x80) reader.FailAt(at, "an event inside of another");
      event.data += static_cast<char>(byte);
    }
    return event;
  }
  running = 0;
  if (event.status == kMidiMeta) {
    event.meta = reader.Byte();
  } else if (event.status != kExclusive && event.status != kEscape) {
    reader.FailAt(begin, "{:#04x} is no event of files", event.status);
  }
  event.data = reader.Bytes(reader.Variable());
  return event;
}

// Of meta events whose length RP-001 fixes, those that are read here.
void CheckMeta(const MidiEvent& event, const Reader& reader, size_t begin) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(event.data[i]); };
  if (event.meta == kMidiTempo && event.data.size() != 3) {
    reader.FailAt(begin, "a tempo of {} bytes instead of 3", event.data.size());
  }
  if (event.meta != kMidiTimeSignature) return;
  if (event.data.size() < 2) {
    reader.FailAt(begin, "a time signature of {} bytes instead of 4", event.data.size());
  }
  if (byte(0) == 0 || byte(1) > 6) {
    reader.FailAt(begin, "a time signature of {}/2^{}", byte(0), byte(1));
  }
}

MidiTrack ReadTrack(Reader reader) {
  MidiTrack track;
  uint8_t running = 0;
  while (!reader.done()) {
    track.end += reader.Variable();
    const size_t begin = reader.at();
    MidiEvent event = ReadEvent(reader, track.end, running);
    if (event.status == kMidiMeta && event.meta == kEndOfTrack) {
      if (!reader.done()) reader.FailAt(reader.at(), "bytes behind the end of the track");
      return track;
    }
    if (event.status == kMidiMeta) CheckMeta(event, reader, begin);
    track.events.push_back(std::move(event));
  }
  return track;
}

// Reads the header chunk; returns the number of tracks that it promises.
uint32_t ReadHeader(Reader& reader, MidiFile& file, const std::string& name) {
  if (!reader.done() && reader.Bytes(4) != "MThd") reader.FailAt(0, "is not a MIDI file");
  const uint32_t length = reader.Integer(4);
  if (length < 6) reader.FailAt(4, "a header of {} bytes instead of 6", length);
  file.format = static_cast<int>(reader.Integer(2));
  if (file.format > 2) reader.FailAt(8, "format {} is none of 0, 1 and 2", file.format);
  Require(file.format < 2, ErrorKind::kUnsupported,
          "{}: byte 8: format 2 (tracks that do not sound together) is not supported; save the "
          "file as format 1",
          name);
  const uint32_t tracks = reader.Integer(2);
  if (tracks == 0 || (file.format == 0 && tracks != 1)) {
    reader.FailAt(10, "{} tracks in a file of format {}", tracks, file.format);
  }
  const uint32_t division = reader.Integer(2);
  Require(division < 0x8000, ErrorKind::kUnsupported,
          "{}: byte 12: times in SMPTE frames are not supported; save the file with ticks a "
          "quarter",
          name);
  if (division == 0) reader.FailAt(12, "0 ticks a quarter");
  file.ticks_per_quarter = static_cast<int>(division);
  reader.Bytes(length - 6);  // of a later version
  return tracks;
}

void AppendInteger(std::string& bytes, uint32_t value, int count) {
  for (int i = count - 1; i >= 0; --i) bytes += static_cast<char>(value >> (8 * i));
}

void AppendVariable(std::string& bytes, int64_t value) {
  Require(value <= kMaxVariable, ErrorKind::kUnsupported,
          "{} ticks between two events are more than a MIDI file can say", value);
  for (int shift = 21; shift > 0; shift -= 7) {
    if (value >> shift != 0) bytes += static_cast<char>(0x80 | (value >> shift & 0x7f));
  }
  bytes += static_cast<char>(value & 0x7f);
}

void AppendEvent(std::string& bytes, const MidiEvent& event) {
  bytes += static_cast<char>(event.status);
  if (event.status == kMidiMeta) bytes += static_cast<char>(event.meta);
  if (event.status >= kExclusive) AppendVariable(bytes, static_cast<int64_t>(event.data.size()));
  bytes += event.data;
}

void AppendChunk(std::string& bytes, std::string_view type, std::string_view data) {
  bytes += type;
  AppendInteger(bytes, static_cast<uint32_t>(data.size()), 4);
  bytes += data;
}

std::string TrackData(const MidiTrack& track) {
  std::string data;
  int64_t now = 0;
  for (const MidiEvent& event : track.events) {
    CHECK(event.tick >= now);
    AppendVariable(data, event.tick - now);
    AppendEvent(data, event);
    now = event.tick;
  }
  CHECK(track.end >= now);
  AppendVariable(data, track.end - now);
  AppendEvent(data, {.tick = track.end, .status = kMidiMeta, .meta = kEndOfTrack, .data = {}});
  return data;
}

}  // namespace

MidiFile ParseMidi(std::string_view bytes, const std::string& name) {
  MidiFile file;
  Reader reader(bytes, 0, bytes.size(), name);
  const uint32_t promised = ReadHeader(reader, file, name);
  while (!reader.done()) {
    const size_t begin = reader.at();
    const std::string_view type = reader.Bytes(4);
    const uint32_t length = reader.Integer(4);
    const size_t data = reader.at();
    const std::string_view content = reader.Bytes(length);
    if (type == "MThd") reader.FailAt(begin, "a second header");
    if (type != "MTrk") {
      file.others.push_back({std::string(type), std::string(content)});
      continue;
    }
    if (file.tracks.size() == promised) {
      reader.FailAt(begin, "a track more than the {} that the header says", promised);
    }
    file.tracks.push_back(ReadTrack(Reader(bytes, data, data + length, name)));
  }
  if (file.tracks.size() < promised) {
    reader.FailAt(reader.at(), "the file ends after {} of {} tracks", file.tracks.size(), promised);
  }
  return file;
}

MidiFile ReadMidi(const std::filesystem::path& path) {
  return ParseMidi(ReadFile(path, kMaxFileBytes), path.string());
}

bool IsMidiName(const std::filesystem::path& path) {
  const std::string suffix = SuffixOf(path);
  return suffix == ".mid" || suffix == ".midi";
}

std::string SerializeMidi(const MidiFile& file) {
  std::string header;
  AppendInteger(header, static_cast<uint32_t>(file.format), 2);
  AppendInteger(header, static_cast<uint32_t>(file.tracks.size()), 2);
  AppendInteger(header, static_cast<uint32_t>(file.ticks_per_quarter), 2);
  std::string bytes;
  AppendChunk(bytes, "MThd", header);
  for (const MidiTrack& track : file.tracks) AppendChunk(bytes, "MTrk", TrackData(track));
  for (const MidiChunk& chunk : file.others) AppendChunk(bytes, chunk.type, chunk.data);
  return bytes;
}

void WriteMidi(const std::filesystem::path& path, const MidiFile& file, bool overwrite) {
  WriteFile(path, SerializeMidi(file), overwrite);
}

}  // namespace gesso
