// A parity case: a recorded reference that `gesso verify` recomputes. The file's metadata names
// the system, its config and the tolerance; tensors are weights/..., in/..., mid/..., out/....
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "kernels/core/context.h"
#include "models/io/json.h"
#include "models/io/weights.h"

namespace gesso {

struct VerifyOptions {
  DType dtype = DType::kF32;  // kF32 or kBF16
  Device device = Device::kCpu;
};

// One compared output.
struct Comparison {
  std::string name;      // "out/denoised"
  double error = 0;      // RMS(ours - reference) / RMS(reference); integers: share that differs
  double tolerance = 0;  // 0 for integers
  bool passed() const { return error <= tolerance; }  // NaN fails
};

class ParityCase {
 public:
  // Throws kFormat where the file is no parity case.
  ParityCase(Weights file, const VerifyOptions& options);

  const std::string& system() const { return system_; }
  const Json& config() const { return config_; }
  const VerifyOptions& options() const { return options_; }
  double tolerance() const { return tolerance_; }  // of float outputs, for options().dtype

  // The model's own weights, without the "weights/" prefix.
  Weights ModelWeights() const;
  bool Has(const std::string& name) const;          // "in/x", "mid/cond", ...
  const Tensor& At(const std::string& name) const;  // throws kFormat if absent

  // Records ours (contiguous, on the host) against the reference tensor `name`. Shapes must agree
  // (kShape); floating references take floating values of any width, integers integers.
  void Compare(const std::string& name, ConstView ours);
  const std::vector<Comparison>& comparisons() const { return comparisons_; }

  // Whether choices (tokens, bits, kept keys) are taken from the reference instead of our own
  // numbers, so that what follows them can be compared: in bfloat16, whose rounding flips some.
  bool TakesChoices() const { return options_.dtype == DType::kBF16; }
  // Such a reference; it need not be compared.
  const Tensor& TakeChoice(const std::string& name);

  std::vector<std::string> OutputsNotCompared() const;  // names "out/..."

 private:
  Weights file_;
  VerifyOptions options_;
  std::string system_;
  Json config_;
  double tolerance_ = 0;
  std::vector<Comparison> comparisons_;
  std::set<std::string> choices_taken_;
};

// Compares what a model shows with the case's tensor "mid/<name>", where there is one.
class ParityTap : public Tap {
 public:
  explicit ParityTap(ParityCase& parity_case) : case_(parity_case) {}
  void Record(std::string_view name, ConstView value) override;

 private:
  ParityCase& case_;
};

// Runs one system's recomputation. A case that compares nothing fails.
using VerifyFn = void (*)(Context& ctx, ParityCase& parity_case);

struct VerifySystem {
  std::string_view prefix;  // "hdit", or "sampler." for a whole family
  bool has_bf16;            // false: float32 only
  VerifyFn run;
};

// The table behind `gesso verify` (registry.cpp): one line a system.
const std::vector<VerifySystem>& VerifySystems();

// The entry that recomputes `system`, or nullptr.
const VerifySystem* FindVerifySystem(std::string_view system);

// Recomputes the case in `path`. Throws kUnsupported for an unknown system and for bfloat16 where
// the system has none.
std::vector<Comparison> Verify(const std::filesystem::path& path, const VerifyOptions& options);

}  // namespace gesso
