#include "bench/forward/forward.h"

#include <chrono>
#include <utility>

#include "bench/forward/call.h"
#include "models/io/safetensors.h"

namespace gesso::bench {

namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

ForwardResult MeasureForward(const ForwardOptions& options) {
  Require(options.repetitions >= 1, ErrorKind::kUsage, "{} repetitions measure nothing",
          options.repetitions);
  ForwardResult result;
  const auto load_start = Clock::now();
  const auto call = MakeCall(OpenWeights(options.model), OpenWeights(options.input), options.device,
                             options.dtype);
  result.load_seconds = SecondsSince(load_start);

  result.arena_bytes = call->ArenaBytes();
  Arena arena(options.device, result.arena_bytes);
  Context ctx;
  ctx.device = options.device;
  ctx.arena = &arena;
  call->Prepare(ctx);
  Tensor out(call->OutShape(), DType::kF32);
  call->Forward(ctx, out.mutable_view());
  // A device records the second pass.
  if (options.device != Device::kCpu) call->Forward(ctx, out.mutable_view());
  for (int i = 0; i < options.repetitions; ++i) {
    WaitForDevice();
    const auto start = Clock::now();
    call->Forward(ctx, out.mutable_view());
    WaitForDevice();
    result.seconds.push_back(SecondsSince(start));
  }
  if (!options.output.empty()) WriteSafetensors(options.output, {{"out", out}}, {});
  ctx.profiler = &result.profiler;
  call->Forward(ctx, out.mutable_view());
  return result;
}

Json ToJson(const ForwardResult& result) {
  Json ops = Json::object();
  double flops = 0;
  for (const auto& [name, entry] : result.profiler.entries()) {
    ops[name] = {{"calls", entry.calls},
                 {"seconds", entry.seconds},
                 {"flops", entry.cost.flops},
                 {"bytes", entry.cost.bytes}};
    flops += entry.cost.flops;
  }
  return {{"seconds", result.seconds},
          {"load_seconds", result.load_seconds},
          {"arena_bytes", result.arena_bytes},
          {"flops", flops},
          {"ops", std::move(ops)}};
}

}  // namespace gesso::bench
