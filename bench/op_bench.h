// One benchmark line for each implementation of an op that accepts the arguments: GFLOP/s, GB/s
// and their share of what the machine was measured to do in the same run.
#pragma once

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "bench/roofline.h"
#include "bench/room.h"
#include "kernels/core/op_table.h"

namespace gesso::bench {

// Where ops run: --device, the CPU if absent.
Device ChosenDevice();
// Of that device; on a GPU those of products and of a copy alone, by ops of ours.
const Peaks& ChosenPeaks();

// Shares of what was measured: of the GEMM peaks in float32 and bfloat16, of the FMA peak, of the
// copy bandwidth.
inline void ReportCost(benchmark::State& state, OpCost cost) {
  using benchmark::Counter;
  const Peaks& peaks = ChosenPeaks();
  const auto rate = [](double amount) {
    return Counter(amount, Counter::kIsIterationInvariantRate);
  };
  const auto share = [&](const char* name, double amount, double peak) {
    if (peak > 0) state.counters[name] = rate(amount / peak);
  };
  state.counters["GFLOP/s"] = rate(cost.flops / 1e9);
  state.counters["GB/s"] = rate(cost.bytes / 1e9);
  share("of_gemm", cost.flops, peaks.gemm_flops);
  if (ChosenDevice() != Device::kCpu) share("of_bf16", cost.flops, peaks.gemm_bf16_flops);
  share("of_fma", cost.flops, peaks.fma_flops);
  share("of_copy", cost.bytes, peaks.copy_bytes);
}

inline void ReportScan(benchmark::State& state, double steps) {
  using benchmark::Counter;
  if (ChosenPeaks().scan_steps == 0) return;
  state.counters["of_scan"] =
      Counter(steps / ChosenPeaks().scan_steps, Counter::kIsIterationInvariantRate);
}

// Times a call of `run` on a GPU: many of them, recorded as one graph, in which the time to start
// each does not count. The line's label says how many, and whether they could be recorded.
void RepeatOnDevice(benchmark::State& state, const std::function<void()>& run);
// Runs on a GPU have a fixed number, as the first call of each line is the expensive one.
constexpr int kDeviceRuns = 5;

inline void Repeat(benchmark::State& state, const std::function<void()>& run) {
  if (ChosenDevice() != Device::kCpu) return RepeatOnDevice(state, run);
  for (auto _ : state) run();
}

// Whether --benchmark_filter lets through the line called `name`: what others need is not made, nor
// libraries asked for algorithms.
bool IsWanted(const std::string& name);

// One line for each implementation that accepts the arguments, or for the `first` alone. make(room)
// gives a shared pointer to what has a member `args` like them, which points at tensors of that
// room, and, of scans, `scan_steps`: states times tokens, for the share of what registers allow.
template <class Args, class Make>
void RegisterLines(const OpTable<Args>& table, const std::string& shape, const Make& make,
                   bool first) {
  const auto name_of = [&](const OpImplementation<Args>& implementation) {
    return fmt::format("{}/{}/{}", table.op(), implementation.name, shape);
  };
  const auto& all = table.implementations();
  if (std::ranges::none_of(all, [&](const auto& one) { return IsWanted(name_of(one)); })) return;
  Room sketch(Room::Use::kSketch);
  const auto sketched = make(sketch);
  using Holder = typename decltype(sketched)::element_type;
  for (const OpImplementation<Args>& implementation : all) {
    if (implementation.name == "ref" || implementation.device != ChosenDevice()) continue;
    if (implementation.why_not(sketched->args)) continue;
    auto* const line = benchmark::RegisterBenchmark(
        name_of(implementation).c_str(),
        [make, name = fmt::format("{}/{}", table.op(), shape), run = implementation.run,
         &table](benchmark::State& state) {
          try {
            const auto holder = std::static_pointer_cast<Holder>(Held(name, make));
            Context ctx = RoomContext();
            Repeat(state, [&] { run(ctx, holder->args); });
            ReportCost(state, table.CostOf(holder->args));
            if constexpr (requires { holder->scan_steps; }) ReportScan(state, holder->scan_steps);
          } catch (const Error& error) {
            state.SkipWithError(error.what());  // the other lines go on
          }
        });
    line->Unit(benchmark::kMicrosecond);
    ChosenDevice() == Device::kCpu ? line->UseRealTime()
                                   : line->UseManualTime()->Iterations(kDeviceRuns);
    if (first) break;
  }
}

// Lines of Holder(room, rest...).
template <class Holder, class Args, class... Rest>
void RegisterOp(const OpTable<Args>& table, const std::string& shape, const Rest&... rest) {
  RegisterLines(
      table, shape, [=](Room& room) { return std::make_shared<Holder>(room, rest...); }, false);
}

// A shape that fills a GPU and is not measured without one, by the implementation that would run.
template <class Holder, class Args, class... Rest>
void RegisterLarge(const OpTable<Args>& table, const std::string& shape, const Rest&... rest) {
  if (ChosenDevice() == Device::kCpu) return;
  RegisterLines(
      table, "large/" + shape, [=](Room& room) { return std::make_shared<Holder>(room, rest...); },
      true);
}

void RegisterProducts();
void RegisterAttentions();
void RegisterConvolutions();
void RegisterPointwise();
void RegisterScans();
void RegisterPictures();

}  // namespace gesso::bench
