// Text inside PNG files (W3C PNG 3rd edition, sections 5 and 11.3.3): the settings that a picture
// was made with travel in iTXt chunks. The reader takes bytes from anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gesso {

struct PngText {
  std::string keyword;  // 1..79 bytes
  std::string text;     // UTF-8
  bool operator==(const PngText&) const = default;
};

// The tEXt, zTXt and iTXt chunks of a PNG file's bytes, in their order; Latin-1 is converted to
// UTF-8. Every length and checksum is checked, compressed text may unfold to 4 MiB a chunk.
// Throws kFormat naming `name`.
std::vector<PngText> ReadPngText(std::string_view png, const std::string& name);

// `png`, a complete PNG file, with `texts` put behind its header as uncompressed iTXt chunks.
std::string AddPngText(std::string_view png, const std::vector<PngText>& texts);

// The pieces that PNG files are made of.
constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";
// CRC-32 of ISO 3309, as the PNG standard's annex D computes it; zip files have the same.
uint32_t Crc32(std::string_view bytes);
std::string PngInteger(uint32_t value);  // four bytes, the highest first
std::string PngChunk(std::string_view type, std::string_view data);
std::string PngTextChunk(const PngText& text);
// Calls visit(type, data) for every chunk of a PNG file's bytes. Throws kFormat.
void ForEachPngChunk(std::string_view png,
                     const std::function<void(std::string_view, std::string_view)>& visit);

}  // namespace gesso
