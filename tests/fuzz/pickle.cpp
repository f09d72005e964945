// The pickle alone, without the archive around it, whose sizes would have to fit after each change.
#include "models/io/pickle.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return gesso::ReadOrRefuse([&] {
    gesso::ParsePickle(std::as_bytes(std::span(data, size)), [](std::string_view name) {
      return name.starts_with("torch.") || name == "collections.OrderedDict";
    });
  });
}
