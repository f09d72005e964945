#include "models/io/sniff.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "models/io/file_bytes.h"

namespace gesso {

namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view prefix;
  std::string_view description;
};

// The beginning of each kind of file; the more particular ones first.
constexpr std::array kMagics = {
    Magic{"version https://git-lfs.github.com/spec/"sv,
          "a Git-LFS pointer, not the file itself; run 'git lfs pull' in its repository"sv},
    Magic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv,
          "a PyTorch file in the format before 1.6; load and save it again with torch"sv},
    Magic{"\x80\x02"sv, "a bare Python pickle, not a file of torch.save"sv},
    Magic{"\x80\x03"sv, "a bare Python pickle, not a file of torch.save"sv},
    Magic{"\x80\x04"sv, "a bare Python pickle, not a file of torch.save"sv},
    Magic{"\x80\x05"sv, "a bare Python pickle, not a file of torch.save"sv},
    Magic{"GGUF"sv, "a GGUF file, which is not supported; use the model's safetensors file"sv},
    Magic{"\x89HDF\r\n"sv, "an HDF5 file (Keras?), which is not supported"sv},
    Magic{"\x93NUMPY"sv, "a NumPy array, not a checkpoint"sv},
    Magic{"\x89PNG"sv, "a PNG picture, not a checkpoint"sv},
    Magic{"\xff\xd8\xff"sv, "a JPEG picture, not a checkpoint"sv},
    Magic{"\x1f\x8b"sv, "a gzip archive; unpack it first"sv},
    Magic{"\x28\xb5\x2f\xfd"sv, "a zstd archive; unpack it first"sv},
    Magic{"PK\x05\x06"sv, "an empty zip archive"sv},
};

// The page that a server sent instead of the file.
bool IsWebPage(std::string_view head) {
  const size_t begin = head.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (begin == std::string_view::npos) return false;
  std::string start(head.substr(begin, 14));
  std::ranges::transform(start, start.begin(), [](unsigned char c) { return std::tolower(c); });
  return start.starts_with("<!doctype html") || start.starts_with("<html") ||
         start.starts_with("<head") || start.starts_with("<?xml");
}

bool IsTar(std::string_view head) { return head.size() >= 262 && head.substr(257, 5) == "ustar"; }

}  // namespace

std::string DescribeForeign(std::span<const std::byte> bytes) {
  constexpr size_t kHead = 4096;
  const std::string_view head = AsText(bytes).substr(0, kHead);
  const auto* const magic = std::ranges::find_if(
      kMagics, [&](const Magic& entry) { return head.starts_with(entry.prefix); });
  if (magic != kMagics.end()) return std::string(magic->description);
  if (IsWebPage(head)) {
    return "a web page, not a model: the download gave a page instead of the file (log-in needed, "
           "or a wrong link?)";
  }
  if (IsTar(head)) return "a tar archive; unpack it first";
  if (head.find_first_not_of('\0') == std::string_view::npos) {
    return "filled with zeros (a download that was interrupted?)";
  }
  return "not a checkpoint: neither safetensors, nor an index of shards, nor a file of torch.save";
}

}  // namespace gesso
