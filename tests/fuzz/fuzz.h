// What the fuzz targets share. Each target is a LLVMFuzzerTestOneInput: with clang and GESSO_FUZZ
// libFuzzer drives it, otherwise replay.cpp feeds it the files of its corpus.
// See https://llvm.org/docs/LibFuzzer.html.
#pragma once

#include <cstddef>
#include <cstdint>

#include "models/io/file_bytes.h"
#include "models/io/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace gesso {

inline FileBytes AsFile(const uint8_t* data, size_t size) {
  return {"input", nullptr, std::as_bytes(std::span(data, size))};
}

// Hostile input may be read or refused with an Error; any other exception ends the run as a crash.
template <class Body>
int ReadOrRefuse(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInternal) throw;
  }
  return 0;
}

// Reads every byte of every tensor, so that a sanitizer sees views that leave the file.
inline void ReadAll(const Weights& weights) {
  for (const auto& [name, tensor] : weights.tensors) {
    const auto* bytes = static_cast<const uint8_t*>(tensor.view().data);
    uint8_t sum = 0;
    for (size_t i = 0; i < tensor.view().bytes(); ++i) sum = static_cast<uint8_t>(sum + bytes[i]);
    [[maybe_unused]] volatile uint8_t kept = sum;
  }
}

}  // namespace gesso
