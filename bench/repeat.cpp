// Times calls on a device that works beside the host.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/op_bench.h"

namespace gesso::bench {

namespace {

double SecondsOf(const std::function<void()>& work) {
  WaitForDevice();
  const auto start = std::chrono::steady_clock::now();
  work();
  WaitForDevice();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Null where the host has a part in the work, or the device cannot record it.
std::unique_ptr<Recording> Record(const std::function<void()>& work) {
  Backend& backend = *CurrentBackend();
  backend.BeginRecording();
  try {
    work();
    return backend.EndRecording();
  } catch (const Error&) {
    backend.DropRecording();
    return nullptr;
  }
}

}  // namespace

void RepeatOnDevice(benchmark::State& state, const std::function<void()>& run) {
  constexpr double kSeconds = 4e-3;
  constexpr double kMostCalls = 200;
  run();  // which grows scratch memory, chooses algorithms and brings pages to the device
  const double once = SecondsOf(run);
  const int calls = static_cast<int>(std::clamp(std::ceil(kSeconds / once), 1.0, kMostCalls));
  const std::function<void()> repeat = [&] {
    for (int i = 0; i < calls; ++i) run();
  };
  const std::unique_ptr<Recording> recording = Record(repeat);
  const std::function<void()> work = [&] { recording != nullptr ? recording->Play() : repeat(); };
  work();
  for (auto _ : state) state.SetIterationTime(SecondsOf(work) / calls);
  state.SetLabel(fmt::format("{} calls{}", calls, recording != nullptr ? ", one graph" : ""));
}

}  // namespace gesso::bench
