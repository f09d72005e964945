#include "models/io/printable.h"

namespace gesso {

std::string Printable(std::string_view text, size_t limit) {
  std::string result(text.substr(0, limit));
  for (size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<unsigned char>(result[i]);
    if (byte < 0x20 || byte == 0x7f) result[i] = '?';
    // U+0080 to U+009F, which terminals obey as well.
    if (byte >= 0x80 && byte < 0xa0 && i > 0 && result[i - 1] == '\xc2') {
      result[i - 1] = result[i] = '?';
    }
  }
  if (text.size() > limit) result += "...";
  return result;
}

}  // namespace gesso
