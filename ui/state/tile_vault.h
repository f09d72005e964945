// Tiles put away, compressed by LZ4. What does not fit into the memory set aside for them goes to a
// file without a name, the oldest first, so that any number of undo steps can be kept. What nobody
// holds a ticket of any more leaves both, and its place is used again.
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
  // A tile in the vault; nullptr is the tile of zeros. It leaves the vault with its last ticket.
  using Ticket = std::shared_ptr<Entry>;

  Ticket Put(const TilePtr& tile);
  // Throws kIo if the file of tiles cannot be read.
  TilePtr Get(const Ticket& ticket) const;

  size_t memory_bytes() const;
  size_t file_bytes() const;  // the size of the file

 private:
  class Store;

  void MakeRoom();

  size_t memory_limit_;
  std::shared_ptr<Store> store_;  // shared with the entries, which may outlive the vault
  std::deque<std::weak_ptr<Entry>> in_memory_;  // the oldest first
};

}  // namespace gesso::ui
