// Tiles put away, compressed by LZ4. What does not fit into the memory set aside for them goes to a
// file without a name, the oldest first, so that any number of undo steps can be kept.
#pragma once

#include <deque>
#include <memory>

#include "ui/state/tiled_image.h"

namespace gesso::ui {

class TileVault {
 public:
  explicit TileVault(size_t memory_limit);  // bytes
  ~TileVault();
  TileVault(const TileVault&) = delete;
  TileVault& operator=(const TileVault&) = delete;

  struct Entry;
  // A tile in the vault; nullptr is the tile of zeros. It leaves the memory with its last ticket.
  using Ticket = std::shared_ptr<Entry>;

  Ticket Put(const TilePtr& tile);
  // Throws kIo if the file of tiles cannot be read.
  TilePtr Get(const Ticket& ticket) const;

  size_t memory_bytes() const { return *memory_bytes_; }
  size_t file_bytes() const { return file_bytes_; }

 private:
  void MoveToFile(Entry& entry);

  size_t memory_limit_;
  std::shared_ptr<size_t> memory_bytes_ = std::make_shared<size_t>(0);
  std::deque<std::weak_ptr<Entry>> in_memory_;  // the oldest first
  size_t file_bytes_ = 0;
  int fd_ = -1;
};

}  // namespace gesso::ui
