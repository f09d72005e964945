// How long one call of a denoising network takes, and which ops the time goes to.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kernels/core/context.h"
#include "models/io/json.h"

namespace gesso::bench {

struct ForwardOptions {
  std::filesystem::path model;   // safetensors with the config in its metadata (call.h)
  std::filesystem::path input;   // tensors of one call (call.h)
  std::filesystem::path output;  // the result goes here as tensor "out"; empty: nowhere
  int repetitions = 10;          // timed ones, after one that is not
  DType dtype = DType::kF32;
  Device device = Device::kCpu;
};

struct ForwardResult {
  std::vector<double> seconds;  // of every repetition
  double load_seconds = 0;      // opening, unpacking and packing the weights
  size_t arena_bytes = 0;
  Profiler profiler;  // of one further repetition
};

// Throws kUsage, kIo, kFormat, kConfig, kMemory or kOutput.
ForwardResult MeasureForward(const ForwardOptions& options);

// {"seconds": [...], "load_seconds", "arena_bytes", "flops", "ops": {op: {calls, seconds, flops,
// bytes}}}
Json ToJson(const ForwardResult& result);

}  // namespace gesso::bench
