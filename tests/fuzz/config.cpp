#include "models/hdit/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return gesso::ReadOrRefuse([&] {
    const std::string_view text = gesso::AsText(gesso::AsFile(data, size).bytes);
    gesso::hdit::ParseConfig(gesso::ParseJson(text, "input"));
  });
}
