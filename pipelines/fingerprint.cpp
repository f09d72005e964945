#include "pipelines/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/core/error.h"
#include "models/io/file_bytes.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr size_t kWhole = size_t{32} << 20;
constexpr size_t kHead = size_t{4} << 20;
constexpr size_t kSlices = 256;
constexpr size_t kSlice = size_t{16} << 10;

class Fnv1a {
 public:
  void Add(std::span<const std::byte> bytes) {
    constexpr uint64_t kPrime = 0x100000001b3;
    for (const std::byte byte : bytes) hash_ = (hash_ ^ static_cast<uint64_t>(byte)) * kPrime;
  }
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

uint64_t HashOf(std::span<const std::byte> bytes) {
  Fnv1a hash;
  if (bytes.size() <= kWhole) {
    hash.Add(bytes);
    return hash.hash();
  }
  hash.Add(bytes.first(kHead));
  const size_t room = bytes.size() - kHead - kSlice;  // for where slices begin
  for (size_t i = 0; i < kSlices; ++i) {
    hash.Add(bytes.subspan(kHead + room / (kSlices - 1) * i, kSlice));
  }
  hash.Add(bytes.last(kSlice));
  return hash.hash();
}

std::string Describe(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  Require(!error, ErrorKind::kIo, "{}: cannot be opened ({})", path.string(), error.message());
  const uint64_t hash = size == 0 ? 0 : HashOf(MapFile(path).bytes);
  return fmt::format("{} bytes, {:016x}", size, hash);
}

}  // namespace

Json FingerprintOf(const fs::path& path) {
  std::error_code error;
  Json files = Json::object();
  if (!fs::is_directory(path, error)) {
    files[path.filename().string()] = Describe(path);
    return files;
  }
  for (const auto& entry : fs::recursive_directory_iterator(path, error)) {
    if (!entry.is_regular_file(error) || entry.path().extension() == ".md") continue;
    files[fs::relative(entry.path(), path).string()] = Describe(entry.path());
  }
  Require(!error, ErrorKind::kIo, "{}: cannot be read ({})", path.string(), error.message());
  return files;
}

}  // namespace gesso
