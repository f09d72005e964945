// An op family's ordered list of implementations: the first that does not refuse the arguments
// runs. Every front door in kernels/*.h owns one table; tests and benchmarks walk it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/context.h"

namespace gesso {

template <class Args>
struct OpImplementation {
  std::string_view name;  // "ref", "highway", "onednn", ...
  Device device = Device::kCpu;
  // The reason to refuse, if there is one. Asked at every call: it must not allocate.
  std::optional<std::string_view> (*why_not)(const Args&) = nullptr;
  void (*run)(Context&, const Args&) = nullptr;
};

// The implementation that `--kernel OP=NAME` forces for an op family; empty if none is forced.
std::string_view ForcedImplementation(std::string_view op);
// Whether another than `implementation` is forced for it.
bool IsForcedElsewhere(std::string_view op, std::string_view implementation);
// Refused when the op runs if there is none of this name (kernels/ops.h: checked before).
void ForceImplementation(std::string_view op, std::string_view implementation);

template <class Args>
class OpTable {
 public:
  using Cost = OpCost (*)(const Args&);

  OpTable(std::string_view op, Cost cost, std::vector<OpImplementation<Args>> implementations)
      : op_(op), cost_(cost), implementations_(std::move(implementations)) {
    std::erase_if(implementations_, [](const auto& entry) { return entry.run == nullptr; });
  }

  std::string_view op() const { return op_; }
  const std::vector<OpImplementation<Args>>& implementations() const { return implementations_; }
  OpCost CostOf(const Args& args) const { return cost_(args); }

  // Runs the first implementation for ctx.device that accepts, or else, once the device has come to
  // rest, the first one for the CPU; throws kUnsupported with every refusal if none does. On the
  // meta device only the cost is counted.
  void Run(Context& ctx, const Args& args) const {
    if (ctx.device == Device::kMeta) {
      if (ctx.profiler != nullptr) ctx.profiler->Add(op_, "meta", 0, cost_(args));
      return;
    }
    const OpImplementation<Args>& chosen = Choose(ctx.device, args);
    if (chosen.device != ctx.device) WaitForDeviceBefore(op_);
    if (ctx.profiler == nullptr) return chosen.run(ctx, args);
    const auto start = std::chrono::steady_clock::now();
    chosen.run(ctx, args);
    if (chosen.device != Device::kCpu) WaitForDevice();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    ctx.profiler->Add(op_, chosen.name, elapsed.count(), cost_(args));
  }

  const OpImplementation<Args>& Choose(Device device, const Args& args) const {
    const std::string_view forced = ForcedImplementation(op_);
    for (const Device place : {device, Device::kCpu}) {
      for (const OpImplementation<Args>& candidate : implementations_) {
        const bool wanted = forced.empty() || forced == candidate.name;
        if (wanted && candidate.device == place && !candidate.why_not(args)) return candidate;
      }
    }
    std::string reasons;
    for (const OpImplementation<Args>& candidate : implementations_) {
      const bool elsewhere = candidate.device != device && candidate.device != Device::kCpu;
      const std::string_view reason =
          elsewhere ? "other device" : candidate.why_not(args).value_or("not chosen");
      reasons += fmt::format("; {}: {}", candidate.name, reason);
    }
    Fail(ErrorKind::kUnsupported, "no implementation of {} accepts these arguments{}", op_,
         reasons);
  }

 private:
  std::string_view op_;
  Cost cost_;
  std::vector<OpImplementation<Args>> implementations_;
};

// The entry of a CUDA implementation in a table, named where an op has several; in a build without
// CUDA one that tables leave out.
#ifdef GESSO_HAS_CUDA
#define GESSO_CUDA_OP_NAMED(name, why_not, run) \
  { name, Device::kCuda, why_not, run }
#else
#define GESSO_CUDA_OP_NAMED(name, why_not, run) \
  {}
#endif
#define GESSO_CUDA_OP(why_not, run) GESSO_CUDA_OP_NAMED("cuda", why_not, run)

// For implementations that take everything the front door has checked.
template <class Args>
std::optional<std::string_view> AcceptsAll(const Args&) {
  return std::nullopt;
}

}  // namespace gesso
