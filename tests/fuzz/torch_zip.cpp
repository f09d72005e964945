#include "models/io/torch_zip.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return gesso::ReadOrRefuse(
      [&] { gesso::ReadAll(gesso::ParseTorchZip(gesso::AsFile(data, size))); });
}
