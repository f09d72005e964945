#include "ui/state/file_space.h"

#include <algorithm>
#include <iterator>

namespace gesso::ui {

size_t FileSpace::Take(size_t size) {
  const auto gap = std::ranges::find_if(gaps_, [&](const auto& g) { return g.second >= size; });
  if (gap == gaps_.end()) {
    end_ += size;
    return end_ - size;
  }
  const auto [offset, room] = *gap;
  gaps_.erase(gap);
  if (room > size) gaps_.emplace(offset + size, room - size);
  return offset;
}

void FileSpace::Return(size_t offset, size_t size) {
  auto gap = gaps_.emplace(offset, size).first;
  const auto next = std::next(gap);
  if (next != gaps_.end() && offset + size == next->first) {
    gap->second += next->second;
    gaps_.erase(next);
  }
  if (gap != gaps_.begin()) {
    const auto before = std::prev(gap);
    if (before->first + before->second == offset) {
      before->second += gap->second;
      gaps_.erase(gap);
      gap = before;
    }
  }
  if (gap->first + gap->second == end_) {
    end_ = gap->first;
    gaps_.erase(gap);
  }
}

}  // namespace gesso::ui
