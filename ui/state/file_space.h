// Which bytes of a file are in use: places that were given back are given out again, and the file
// ends where the last one in use does.
#pragma once

#include <cstddef>
#include <map>

namespace gesso::ui {

class FileSpace {
 public:
  // The offset of `size` bytes (above 0) that nobody uses: the first gap that holds them, or else
  // the end.
  size_t Take(size_t size);
  // Gives back what Take gave.
  void Return(size_t offset, size_t size);
  size_t end() const { return end_; }  // nothing behind it is in use

 private:
  std::map<size_t, size_t> gaps_;  // sizes by offset; none touches another, or the end
  size_t end_ = 0;
};

}  // namespace gesso::ui
