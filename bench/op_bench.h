// One benchmark line for each implementation of an op that accepts the arguments: GFLOP/s, GB/s
// and their share of what the machine was measured to do in the same run.
#pragma once

#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "bench/roofline.h"
#include "kernels/core/op_table.h"

namespace gesso::bench {

// Shares: of the GEMM peak, of the FMA peak, of the copy bandwidth.
inline void ReportCost(benchmark::State& state, OpCost cost) {
  using benchmark::Counter;
  const Peaks& peaks = MeasuredPeaks();
  const auto rate = [](double amount) {
    return Counter(amount, Counter::kIsIterationInvariantRate);
  };
  state.counters["GFLOP/s"] = rate(cost.flops / 1e9);
  state.counters["GB/s"] = rate(cost.bytes / 1e9);
  state.counters["of_gemm"] = rate(cost.flops / peaks.gemm_flops);
  state.counters["of_fma"] = rate(cost.flops / peaks.fma_flops);
  state.counters["of_copy"] = rate(cost.bytes / peaks.copy_bytes);
}

inline void ReportScan(benchmark::State& state, double steps) {
  using benchmark::Counter;
  state.counters["of_scan"] =
      Counter(steps / MeasuredPeaks().scan_steps, Counter::kIsIterationInvariantRate);
}

// `holder` owns the tensors and has a member `args` that points at them. Scans tell the number of
// their steps, states times tokens, for the share of what registers alone allow.
template <class Args, class Holder>
void RegisterOp(const OpTable<Args>& table, const std::string& shape,
                std::shared_ptr<Holder> holder, double scan_steps = 0) {
  for (const OpImplementation<Args>& implementation : table.implementations()) {
    if (implementation.name == "ref" || implementation.device != Device::kCpu) continue;
    if (implementation.why_not(holder->args)) continue;
    const std::string name = std::string(table.op()) + "/" + std::string(implementation.name);
    benchmark::RegisterBenchmark((name + "/" + shape).c_str(),
                                 [holder, run = implementation.run, scan_steps,
                                  cost = table.CostOf(holder->args)](benchmark::State& state) {
                                   Context ctx;
                                   for (auto _ : state) run(ctx, holder->args);
                                   ReportCost(state, cost);
                                   if (scan_steps > 0) ReportScan(state, scan_steps);
                                 })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

// Values between -1 and 1, the same in every run.
Tensor Values(const Shape& shape, DType dtype = DType::kF32);

void RegisterProducts();
void RegisterAttentions();
void RegisterPointwise();
void RegisterScans();

}  // namespace gesso::bench
