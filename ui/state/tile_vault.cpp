#include "ui/state/tile_vault.h"

#include <fcntl.h>
#include <lz4.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace gesso::ui {

struct TileVault::Entry {
  Entry(std::shared_ptr<size_t> memory_bytes, std::vector<char> packed, size_t unpacked_size)
      : memory(std::move(memory_bytes)),
        bytes(std::move(packed)),
        size(bytes.size()),
        unpacked(unpacked_size) {
    *memory += size;
  }
  ~Entry() { *memory -= bytes.size(); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  std::shared_ptr<size_t> memory;
  std::vector<char> bytes;  // empty once it lies in the file
  size_t size;              // compressed
  size_t unpacked;
  size_t offset = 0;  // in the file
};

namespace {

int OpenNamelessFile() {
  std::string name = (std::filesystem::temp_directory_path() / "gesso-undo-XXXXXX").string();
  const int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd >= 0) unlink(name.c_str());
  return fd;
}

}  // namespace

TileVault::TileVault(size_t memory_limit) : memory_limit_(memory_limit) {}

TileVault::~TileVault() {
  if (fd_ >= 0) close(fd_);
}

TileVault::Ticket TileVault::Put(const TilePtr& tile) {
  if (tile == nullptr) return nullptr;
  const std::vector<uint8_t>& pixels = tile->pixels;
  const int size = static_cast<int>(pixels.size());
  std::vector<char> packed(static_cast<size_t>(LZ4_compressBound(size)));
  const int packed_size =
      LZ4_compress_default(reinterpret_cast<const char*>(pixels.data()), packed.data(), size,
                           static_cast<int>(packed.size()));
  CHECK(packed_size > 0);
  packed.resize(static_cast<size_t>(packed_size));
  packed.shrink_to_fit();
  auto entry = std::make_shared<Entry>(memory_bytes_, std::move(packed), pixels.size());
  in_memory_.push_back(entry);
  while (*memory_bytes_ > memory_limit_ && !in_memory_.empty()) {
    if (const Ticket oldest = in_memory_.front().lock(); oldest != nullptr) MoveToFile(*oldest);
    in_memory_.pop_front();
  }
  return entry;
}

void TileVault::MoveToFile(Entry& entry) {
  if (fd_ < 0) fd_ = OpenNamelessFile();
  size_t done = 0;
  while (fd_ >= 0 && done < entry.bytes.size()) {
    const ssize_t written = pwrite(fd_, entry.bytes.data() + done, entry.bytes.size() - done,
                                   static_cast<off_t>(file_bytes_ + done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += static_cast<size_t>(written);
  }
  // On a full disk it stays in memory: work is worth more than the limit.
  if (done < entry.bytes.size()) return;
  entry.offset = file_bytes_;
  file_bytes_ += entry.size;
  *memory_bytes_ -= entry.size;
  entry.bytes = {};
}

TilePtr TileVault::Get(const Ticket& ticket) const {
  if (ticket == nullptr) return nullptr;
  std::vector<char> from_file;
  const std::vector<char>* packed = &ticket->bytes;
  if (packed->empty()) {
    from_file.resize(ticket->size);
    for (size_t done = 0; done < from_file.size();) {
      const ssize_t got = pread(fd_, from_file.data() + done, from_file.size() - done,
                                static_cast<off_t>(ticket->offset + done));
      if (got < 0 && errno == EINTR) continue;
      Require(got > 0, ErrorKind::kIo, "the file of undo steps cannot be read ({})",
              std::strerror(errno));
      done += static_cast<size_t>(got);
    }
    packed = &from_file;
  }
  auto tile = std::make_shared<Tile>();
  tile->pixels.resize(ticket->unpacked);
  const int unpacked =
      LZ4_decompress_safe(packed->data(), reinterpret_cast<char*>(tile->pixels.data()),
                          static_cast<int>(packed->size()), static_cast<int>(tile->pixels.size()));
  Require(unpacked == static_cast<int>(tile->pixels.size()), ErrorKind::kIo,
          "the file of undo steps is damaged");
  return tile;
}

}  // namespace gesso::ui
