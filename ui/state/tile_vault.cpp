#include "ui/state/tile_vault.h"

#include <fcntl.h>
#include <lz4.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "ui/state/file_space.h"

namespace gesso::ui {

namespace {

int OpenNamelessFile() {
  std::string name = (std::filesystem::temp_directory_path() / "gesso-undo-XXXXXX").string();
  const int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd >= 0) unlink(name.c_str());
  return fd;
}

}  // namespace

// The file, and what is in use of it and of the memory.
class TileVault::Store {
 public:
  Store() = default;
  ~Store() {
    if (fd_ >= 0) close(fd_);
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // The place of the bytes, or nothing where they cannot be written.
  std::optional<size_t> Write(const std::vector<char>& bytes) {
    if (fd_ < 0) fd_ = OpenNamelessFile();
    if (fd_ < 0) return std::nullopt;
    const size_t offset = space_.Take(bytes.size());
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t written =
          pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        Remove(offset, bytes.size());
        return std::nullopt;
      }
      done += static_cast<size_t>(written);
    }
    size_ = std::max(size_, offset + bytes.size());
    return offset;
  }

  std::vector<char> Read(size_t offset, size_t size) const {
    std::vector<char> bytes(size);
    for (size_t done = 0; done < size;) {
      const ssize_t got =
          pread(fd_, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      Require(got > 0, ErrorKind::kIo, "the file of undo steps cannot be read ({})",
              std::strerror(errno));
      done += static_cast<size_t>(got);
    }
    return bytes;
  }

  // The file gets shorter where its end is no longer in use.
  void Remove(size_t offset, size_t size) {
    space_.Return(offset, size);
    if (space_.end() < size_ && ftruncate(fd_, static_cast<off_t>(space_.end())) == 0) {
      size_ = space_.end();
    }
  }

  size_t file_bytes() const { return size_; }

  size_t memory_bytes = 0;
  size_t in_memory = 0;  // entries

 private:
  FileSpace space_;
  size_t size_ = 0;  // of the file
  int fd_ = -1;
};

struct TileVault::Entry {
  Entry(std::shared_ptr<Store> owner, std::vector<char> packed, size_t unpacked_size)
      : store(std::move(owner)),
        bytes(std::move(packed)),
        size(bytes.size()),
        unpacked(unpacked_size) {
    store->memory_bytes += size;
    ++store->in_memory;
  }
  ~Entry() {
    if (offset) {
      store->Remove(*offset, size);
    } else {
      LeaveMemory();
    }
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  void LeaveMemory() {
    store->memory_bytes -= size;
    --store->in_memory;
    bytes = {};
  }

  // On a full disk it stays in memory: work is worth more than the limit.
  void MoveToFile() {
    offset = store->Write(bytes);
    if (offset) LeaveMemory();
  }

  std::shared_ptr<Store> store;
  std::vector<char> bytes;  // empty once it lies in the file
  size_t size;              // compressed
  size_t unpacked;
  std::optional<size_t> offset;  // in the file
};

TileVault::TileVault(size_t memory_limit)
    : memory_limit_(memory_limit), store_(std::make_shared<Store>()) {}

TileVault::~TileVault() = default;

size_t TileVault::memory_bytes() const { return store_->memory_bytes; }
size_t TileVault::file_bytes() const { return store_->file_bytes(); }

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
  auto entry = std::make_shared<Entry>(store_, std::move(packed), pixels.size());
  in_memory_.push_back(entry);
  MakeRoom();
  return entry;
}

void TileVault::MakeRoom() {
  while (store_->memory_bytes > memory_limit_ && !in_memory_.empty()) {
    if (const Ticket oldest = in_memory_.front().lock(); oldest != nullptr) oldest->MoveToFile();
    in_memory_.pop_front();
  }
  // What is gone leaves the list when it is half of it.
  constexpr size_t kFew = 1024;
  if (in_memory_.size() > kFew && in_memory_.size() > 2 * store_->in_memory) {
    std::erase_if(in_memory_, [](const auto& entry) { return entry.expired(); });
  }
}

TilePtr TileVault::Get(const Ticket& ticket) const {
  if (ticket == nullptr) return nullptr;
  const std::vector<char> from_file =
      ticket->offset ? store_->Read(*ticket->offset, ticket->size) : std::vector<char>();
  const std::vector<char>& packed = ticket->offset ? from_file : ticket->bytes;
  auto tile = std::make_shared<Tile>();
  tile->pixels.resize(ticket->unpacked);
  const int unpacked =
      LZ4_decompress_safe(packed.data(), reinterpret_cast<char*>(tile->pixels.data()),
                          static_cast<int>(packed.size()), static_cast<int>(tile->pixels.size()));
  Require(unpacked == static_cast<int>(tile->pixels.size()), ErrorKind::kIo,
          "the file of undo steps is damaged");
  return tile;
}

}  // namespace gesso::ui
