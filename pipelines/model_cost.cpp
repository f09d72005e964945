#include "pipelines/model_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "pipelines/guided_model.h"
#include "pipelines/memory.h"
#include "samplers/noise.h"

namespace gesso {

namespace {

// One call of a model, bound to a batch of pictures.
class Pass {
 public:
  Pass(const DiffusionModel& model, const Request& request, int64_t pictures)
      : prompt_(model, request),
        shape_(model.traits().BatchShape(pictures, model.traits().frames, *request.height,
                                         *request.width)),
        guided_(model, Unguided(request), prompt_, shape_) {}

  void Condition(Context& ctx) { guided_.Condition(ctx); }

  void Run(Context& ctx) {
    constexpr double kSigma = 1;
    const Arena::Scope scope(*ctx.arena);
    const View x = ctx.arena->Alloc(shape_, DType::kF32);
    const View denoised = ctx.arena->Alloc(shape_, DType::kF32);
    if (ctx.device != Device::kMeta) {
      const std::vector<uint64_t> seeds(static_cast<size_t>(shape_[0]), 0);
      Context silent = ctx;
      silent.profiler = nullptr;
      DrawStart(silent, seeds, x);
    }
    if (ctx.device != Device::kMeta) WaitForDevice();
    const auto start = std::chrono::steady_clock::now();
    guided_.denoiser().Denoise(ctx, x, kSigma, denoised);
    if (ctx.device != Device::kMeta) WaitForDevice();
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  double seconds() const { return seconds_; }  // of the last Run

 private:
  static Request Unguided(Request request) {
    request.cfg_scale = 1;
    return request;
  }

  EncodedPrompt prompt_;
  Shape shape_;
  GuidedModel guided_;
  double seconds_ = 0;
};

}  // namespace

PassCost CountPass(const DiffusionModel& model, const Request& request, int64_t pictures) {
  Arena arena(Device::kMeta, 0);
  Profiler profiler;
  Context ctx{.device = Device::kMeta, .arena = &arena};
  Pass pass(model, request, pictures);
  pass.Condition(ctx);
  ctx.profiler = &profiler;
  pass.Run(ctx);
  PassCost cost{.arena_bytes = static_cast<int64_t>(arena.peak_bytes())};
  for (const auto& [op, entry] : profiler.entries()) {
    cost.flops += entry.cost.flops;
    cost.bytes += entry.cost.bytes;
  }
  return cost;
}

double TimePass(const DiffusionModel& model, const Request& request, int64_t pictures,
                Device device, int64_t repeats, Profiler& profiler) {
  const int64_t bytes = CountPass(model, request, pictures).arena_bytes;
  RequireMemory(bytes, fmt::format("a forward pass of {} pictures", pictures));
  Arena arena(device, static_cast<size_t>(bytes));
  Context ctx{.device = device, .arena = &arena};
  Pass pass(model, request, pictures);
  pass.Condition(ctx);
  pass.Run(ctx);  // pages of the arena are touched for the first time
  const bool beside = device != Device::kCpu;
  if (beside) pass.Run(ctx);  // it is recorded
  if (!beside) ctx.profiler = &profiler;
  double fastest = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < repeats; ++i) {
    pass.Run(ctx);
    fastest = std::min(fastest, pass.seconds());
  }
  if (!beside) return fastest;
  // Who times an op on a device waits for it, which a whole pass does not.
  ctx.profiler = &profiler;
  for (int64_t i = 0; i < repeats; ++i) pass.Run(ctx);
  return fastest;
}

}  // namespace gesso
