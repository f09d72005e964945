// Stored zip archives for tests of their reader, with or without zip64 records.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gesso {

inline std::string LittleEndian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

inline std::string MakeZip(const std::vector<std::pair<std::string, std::string>>& entries,
                           bool zip64 = false, uint16_t method = 0, uint16_t flags = 0) {
  const auto le = LittleEndian;
  const uint64_t escape = 0xffffffff;
  std::string body;
  std::string directory;
  for (const auto& [name, data] : entries) {
    const std::string sizes64 = le(data.size(), 8) + le(data.size(), 8);
    const std::string local_extra = zip64 ? le(1, 2) + le(16, 2) + sizes64 : "";
    const std::string extra = zip64 ? le(1, 2) + le(24, 2) + sizes64 + le(body.size(), 8) : "";
    const uint64_t size = zip64 ? escape : data.size();
    const std::string common = le(45, 2) + le(flags, 2) + le(method, 2) + le(0, 4) + le(0, 4) +
                               le(size, 4) + le(size, 4) + le(name.size(), 2);
    directory += le(0x02014b50, 4) + le(45, 2) + common + le(extra.size(), 2) + le(0, 2) +
                 le(0, 2) + le(0, 2) + le(0, 4) + le(zip64 ? escape : body.size(), 4) + name +
                 extra;
    body += le(0x04034b50, 4) + common + le(local_extra.size(), 2) + name + local_extra + data;
  }
  const size_t count = entries.size();
  std::string end;
  if (zip64) {
    end = le(0x06064b50, 4) + le(44, 8) + le(45, 2) + le(45, 2) + le(0, 4) + le(0, 4) +
          le(count, 8) + le(count, 8) + le(directory.size(), 8) + le(body.size(), 8);
    end += le(0x07064b50, 4) + le(0, 4) + le(body.size() + directory.size(), 8) + le(1, 4);
  }
  end += le(0x06054b50, 4) + le(0, 2) + le(0, 2) + le(zip64 ? 0xffff : count, 2) +
         le(zip64 ? 0xffff : count, 2) + le(zip64 ? escape : directory.size(), 4) +
         le(zip64 ? escape : body.size(), 4) + le(0, 2);
  return body + directory + end;
}

}  // namespace gesso
