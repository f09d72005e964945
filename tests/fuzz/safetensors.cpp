#include "models/io/safetensors.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return gesso::ReadOrRefuse(
      [&] { gesso::ReadAll(gesso::ParseSafetensors(gesso::AsFile(data, size))); });
}
