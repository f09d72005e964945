#include "bench/forward/forward.h"

#include <chrono>
#include <utility>

#include "models/hdit/session.h"
#include "models/io/safetensors.h"
#include "models/io/weights.h"

namespace gesso::bench {

namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::shared_ptr<const hdit::Model> LoadModel(const ForwardOptions& options) {
  const Weights weights = OpenWeights(options.model);
  return WithContext(options.model.string(), [&] {
    const auto config = weights.metadata.find("config");
    Require(config != weights.metadata.end(), ErrorKind::kConfig,
            "has no metadata entry 'config' with the model's configuration");
    return hdit::Load(weights, ParseJson(config->second, "config"), options.device, options.dtype);
  });
}

// The tensor `name` in `dtype`; empty if the input has none.
Tensor Find(const Weights& input, const std::string& name, DType dtype) {
  const auto found = input.tensors.find(name);
  return found == input.tensors.end() ? Tensor() : Cast(found->second, dtype);
}

}  // namespace

ForwardResult MeasureForward(const ForwardOptions& options) {
  Require(options.repetitions >= 1, ErrorKind::kUsage, "{} repetitions measure nothing",
          options.repetitions);
  ForwardResult result;
  const auto load_start = Clock::now();
  const auto model = LoadModel(options);
  result.load_seconds = SecondsSince(load_start);

  const Weights input = OpenWeights(options.input);
  const Tensor x = Cast(input.At("x"), DType::kF32);
  const Tensor sigma = Cast(input.At("sigma"), DType::kF64);
  const Tensor class_cond = Find(input, "class_cond", DType::kI32);
  const Tensor mapping_cond = Find(input, "mapping_cond", DType::kF32);
  const Tensor aug_cond = Find(input, "aug_cond", DType::kF32);
  const Tensor context = Find(input, "context", DType::kF32);
  const Tensor context_mask = Find(input, "context_mask", DType::kI32);
  const hdit::Conditioning conditioning = {.aug_cond = aug_cond,
                                           .class_cond = class_cond,
                                           .mapping_cond = mapping_cond,
                                           .context = context,
                                           .context_mask = context_mask};
  const std::span<const double> levels(sigma.Data<double>(),
                                       static_cast<size_t>(sigma.shape().numel()));

  hdit::Session session(model, x.shape());
  result.arena_bytes = session.ArenaBytes(conditioning);
  Arena arena(options.device, result.arena_bytes);
  Context ctx;
  ctx.device = options.device;
  ctx.arena = &arena;
  session.Condition(ctx, conditioning);
  Tensor out(x.shape(), DType::kF32);
  session.Forward(ctx, x, levels, out.mutable_view());
  // A device records the second pass.
  if (options.device != Device::kCpu) session.Forward(ctx, x, levels, out.mutable_view());
  for (int i = 0; i < options.repetitions; ++i) {
    WaitForDevice();
    const auto start = Clock::now();
    session.Forward(ctx, x, levels, out.mutable_view());
    WaitForDevice();
    result.seconds.push_back(SecondsSince(start));
  }
  if (!options.output.empty()) WriteSafetensors(options.output, {{"out", out}}, {});
  ctx.profiler = &result.profiler;
  session.Forward(ctx, x, levels, out.mutable_view());
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
