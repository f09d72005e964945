#include "pipelines/media/png.h"

#include <zlib.h>

#include <cstdint>

#include "kernels/core/error.h"

namespace gesso {

namespace {

constexpr size_t kMaxUnfolded = size_t{4} << 20;
constexpr size_t kMaxTextChunks = 1000;
constexpr size_t kMaxText = size_t{16} << 20;  // of all chunks together

uint32_t ReadBigEndian(std::string_view four) {
  uint32_t value = 0;
  for (const char byte : four) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

struct Chunk {
  std::string_view type;
  std::string_view data;
};

// Takes the first chunk off `rest`.
Chunk TakeChunk(std::string_view& rest) {
  constexpr size_t kFrame = 12;  // length, type, checksum
  Require(rest.size() >= kFrame, ErrorKind::kFormat, "ends inside a chunk (truncated?)");
  const size_t length = ReadBigEndian(rest.substr(0, 4));
  Require(length <= rest.size() - kFrame, ErrorKind::kFormat,
          "a chunk of {} bytes goes beyond the end of the file (truncated?)", length);
  const uint32_t crc = ReadBigEndian(rest.substr(8 + length, 4));
  Require(crc == Crc32(rest.substr(4, 4 + length)), ErrorKind::kFormat,
          "a chunk has a wrong checksum (damaged file)");
  const Chunk chunk{rest.substr(4, 4), rest.substr(8, length)};
  rest.remove_prefix(kFrame + length);
  return chunk;
}

// Takes the bytes up to the next NUL, and the NUL, off `rest`.
std::string_view TakeField(std::string_view& rest, std::string_view what) {
  const size_t end = rest.find('\0');
  Require(end != std::string_view::npos, ErrorKind::kFormat, "a text chunk has no end of its {}",
          what);
  const std::string_view field = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return field;
}

uint8_t TakeByte(std::string_view& rest) {
  Require(!rest.empty(), ErrorKind::kFormat, "a text chunk ends too early");
  const auto byte = static_cast<uint8_t>(rest.front());
  rest.remove_prefix(1);
  return byte;
}

std::string Unfold(std::string_view compressed) {
  std::string text(kMaxUnfolded, '\0');
  uLongf length = text.size();
  const int status = uncompress(reinterpret_cast<Bytef*>(text.data()), &length,
                                reinterpret_cast<const Bytef*>(compressed.data()),
                                static_cast<uLong>(compressed.size()));
  Require(status == Z_OK, ErrorKind::kFormat, "compressed text is damaged or larger than {} bytes",
          kMaxUnfolded);
  text.resize(length);
  text.shrink_to_fit();
  return text;
}

std::string FromLatin1(std::string_view latin1) {
  std::string utf8;
  for (const char c : latin1) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xC0u | byte >> 6);
      utf8 += static_cast<char>(0x80u | (byte & 0x3Fu));
    }
  }
  return utf8;
}

PngText ReadText(const Chunk& chunk) {
  std::string_view rest = chunk.data;
  const std::string_view keyword = TakeField(rest, "keyword");
  Require(!keyword.empty() && keyword.size() <= 79, ErrorKind::kFormat,
          "a text chunk's keyword has {} bytes", keyword.size());
  PngText text{FromLatin1(keyword), ""};
  bool compressed = chunk.type == "zTXt";
  if (chunk.type == "iTXt") compressed = TakeByte(rest) != 0;
  if (chunk.type != "tEXt") {
    Require(TakeByte(rest) == 0 || !compressed, ErrorKind::kFormat,
            "text '{}' is compressed in an unknown way", text.keyword);
  }
  if (chunk.type == "iTXt") {
    TakeField(rest, "language");
    TakeField(rest, "translated keyword");
  }
  text.text = compressed ? Unfold(rest) : std::string(rest);
  if (chunk.type != "iTXt") text.text = FromLatin1(text.text);
  return text;
}

std::vector<PngText> ReadChunks(std::string_view png) {
  Require(png.starts_with(kPngSignature), ErrorKind::kFormat, "is not a PNG file");
  std::string_view rest = png.substr(kPngSignature.size());
  std::vector<PngText> texts;
  size_t total = 0;
  bool first = true;
  while (true) {
    const Chunk chunk = TakeChunk(rest);
    Require(first == (chunk.type == "IHDR"), ErrorKind::kFormat,
            "its header chunk is missing or repeated");
    first = false;
    if (chunk.type == "IEND") return texts;
    if (chunk.type == "tEXt" || chunk.type == "zTXt" || chunk.type == "iTXt") {
      Require(texts.size() < kMaxTextChunks, ErrorKind::kFormat, "has more than {} text chunks",
              kMaxTextChunks);
      texts.push_back(ReadText(chunk));
      total += texts.back().text.size();
      Require(total <= kMaxText, ErrorKind::kFormat, "has more than {} bytes of text", kMaxText);
    }
  }
}

}  // namespace

std::vector<PngText> ReadPngText(std::string_view png, const std::string& name) {
  return WithContext(name, [&] { return ReadChunks(png); });
}

std::string AddPngText(std::string_view png, const std::vector<PngText>& texts) {
  CHECK(png.starts_with(kPngSignature));
  std::string_view rest = png.substr(kPngSignature.size());
  TakeChunk(rest);
  std::string result(png.substr(0, png.size() - rest.size()));
  for (const PngText& text : texts) result += PngTextChunk(text);
  return result.append(rest);
}

uint32_t Crc32(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string PngInteger(uint32_t value) {
  std::string four(4, '\0');
  for (int i = 3; i >= 0; --i, value >>= 8) {
    four[static_cast<size_t>(i)] = static_cast<char>(value & 0xFFu);
  }
  return four;
}

std::string PngChunk(std::string_view type, std::string_view data) {
  const std::string body = std::string(type).append(data);
  return PngInteger(static_cast<uint32_t>(data.size())) + body + PngInteger(Crc32(body));
}

std::string PngTextChunk(const PngText& text) {
  CHECK(!text.keyword.empty() && text.keyword.size() <= 79);
  // Not compressed, no language, no translated keyword.
  return PngChunk("iTXt", text.keyword + std::string(5, '\0') + text.text);
}

void ForEachPngChunk(std::string_view png,
                     const std::function<void(std::string_view, std::string_view)>& visit) {
  CHECK(png.starts_with(kPngSignature));
  for (std::string_view rest = png.substr(kPngSignature.size()); !rest.empty();) {
    const Chunk chunk = TakeChunk(rest);
    visit(chunk.type, chunk.data);
  }
}

}  // namespace gesso
