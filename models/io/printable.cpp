#include "models/io/printable.h"

namespace gesso {

std::string Printable(std::string_view text, size_t limit) {
  std::string result(text.substr(0, limit));
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  if (text.size() > limit) result += "...";
  return result;
}

}  // namespace gesso
