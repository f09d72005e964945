#include "pipelines/verify/case.h"

namespace gesso {

namespace {

// Address space for the activations of a case; pages that are never touched cost nothing.
constexpr size_t kArenaBytes = size_t{256} << 20;

std::string SupportedSystems() {
  std::string names;
  for (const VerifySystem& system : VerifySystems()) {
    names += (names.empty() ? "" : ", ") + std::string(system.prefix) +
             (system.prefix.ends_with('.') ? "*" : "");
  }
  return names;
}

}  // namespace

const VerifySystem* FindVerifySystem(std::string_view system) {
  for (const VerifySystem& candidate : VerifySystems()) {
    const bool family = candidate.prefix.ends_with('.');
    if (family ? system.starts_with(candidate.prefix) : system == candidate.prefix) {
      return &candidate;
    }
  }
  return nullptr;
}

std::vector<Comparison> Verify(const std::filesystem::path& path, const VerifyOptions& options) {
  ParityCase parity_case(OpenWeights(path), options);
  const VerifySystem* system = FindVerifySystem(parity_case.system());
  Require(system != nullptr, ErrorKind::kUnsupported, "{}: unknown system '{}' (known: {})",
          path.string(), parity_case.system(), SupportedSystems());
  Require(options.dtype == DType::kF32 || system->has_bf16, ErrorKind::kUnsupported,
          "{}: '{}' is computed in float32 only", path.string(), parity_case.system());
  Arena arena(options.device, kArenaBytes);
  Context ctx{.device = options.device, .arena = &arena};
  WithContext(path.string(), [&] { system->run(ctx, parity_case); });
  Require(!parity_case.comparisons().empty(), ErrorKind::kFormat,
          "{}: has no output that could be compared", path.string());
  for (const std::string& name : parity_case.OutputsNotCompared()) {
    Fail(ErrorKind::kUnsupported, "{}: '{}' is an output that gesso does not compute",
         path.string(), name);
  }
  return parity_case.comparisons();
}

}  // namespace gesso
