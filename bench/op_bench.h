// One benchmark line for each implementation of an op that accepts the arguments: GFLOP/s, GB/s
// and their share of what the machine was measured to do in the same run.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <string>

#include "bench/roofline.h"
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

// Times `run` until the benchmark has seen enough. A GPU is given some calls before it is waited
// for, as in a network: what counts is its own time.
template <class Run>
void Repeat(benchmark::State& state, const Run& run) {
  if (ChosenDevice() == Device::kCpu) {
    for (auto _ : state) run();
    return;
  }
  constexpr int kCalls = 20;
  run();
  for (auto _ : state) {
    WaitForDevice();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) run();
    WaitForDevice();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(elapsed.count() / kCalls);
  }
}

// One line for each implementation that accepts `args`. make() gives a shared pointer to what owns
// the tensors and has a member `args` like them that points at the tensors; it is called when the
// line runs. Scans tell the number of their steps, states times tokens, for the share of what
// registers alone allow.
template <class Args, class Make>
void RegisterOpMadeLate(const OpTable<Args>& table, const std::string& shape, const Args& args,
                        const Make& make, double scan_steps = 0) {
  for (const OpImplementation<Args>& implementation : table.implementations()) {
    if (implementation.name == "ref" || implementation.device != ChosenDevice()) continue;
    if (implementation.why_not(args)) continue;
    const std::string name = std::string(table.op()) + "/" + std::string(implementation.name);
    auto* const line = benchmark::RegisterBenchmark(
        (name + "/" + shape).c_str(),
        [make, scan_steps, run = implementation.run, &table](benchmark::State& state) {
          const auto holder = make();
          Context ctx{.device = ChosenDevice()};
          Repeat(state, [&] { run(ctx, holder->args); });
          ReportCost(state, table.CostOf(holder->args));
          if (scan_steps > 0) ReportScan(state, scan_steps);
        });
    line->Unit(benchmark::kMicrosecond);
    ChosenDevice() == Device::kCpu ? line->UseRealTime() : line->UseManualTime();
  }
}

// The same with what is there already.
template <class Args, class Holder>
void RegisterOp(const OpTable<Args>& table, const std::string& shape,
                std::shared_ptr<Holder> holder, double scan_steps = 0) {
  RegisterOpMadeLate(
      table, shape, holder->args, [holder] { return holder; }, scan_steps);
}

// Values between -1 and 1, the same in every run.
Tensor Values(const Shape& shape, DType dtype = DType::kF32);

void RegisterProducts();
void RegisterAttentions();
void RegisterConvolutions();
void RegisterPointwise();
void RegisterScans();

}  // namespace gesso::bench
