// What the cases of next-scale transformers over VAR's codes share: values collected over the
// scales, the teacher-forced pass, and sampling with the recorded random numbers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/var/model.h"
#include "models/vqvae/quantizer.h"
#include "pipelines/verify/case.h"
#include "samplers/next_scale/sampler.h"

namespace gesso {

// Collects what a model shows at every scale, [B, N, ...], for comparison as sequences [B, L, ...].
class SequenceTap : public Tap {
 public:
  void Record(std::string_view name, ConstView value) override;
  // Compares each collected name with "mid/<prefix><name><suffix>", where the case has that.
  void Compare(ParityCase& parity_case, const std::string& prefix, const std::string& suffix) const;
  void Forget(const std::string& name) { values_.erase(name); }

 private:
  std::map<std::string, std::vector<Tensor>> values_;
};

// The transformer of the section `name` of the case, whose weights are called <name>.*.
std::shared_ptr<const var::Model> LoadVar(const ParityCase& parity_case, const std::string& name);

// The quantiser of the section "vae" of the case, whose weights are called vae.quantize.*.
std::shared_ptr<const vqvae::Quantizer> LoadQuantizer(const ParityCase& parity_case);

// Labels of B pictures, then B times `none`.
Tensor GuidedLabels(const Tensor& labels, int64_t none);

// forward(scale, input, logits) of every scale with the case's in/x_BLCv_wo_first_l; compares
// "out/logits".
void CompareForward(
    ParityCase& parity_case, const std::vector<int64_t>& patch_nums, int64_t vocab_size,
    const std::function<void(int64_t scale, ConstView input, View logits)>& forward);

// Runs `model` as the section "sampling" says, with guidance `cfg`, and compares tokens and
// mid/guided_logits; names end with `suffix`. In bfloat16 the recorded logits decide, so that a
// token chosen differently does not spoil all that follows; `compare_logits` false leaves out
// mid/guided_logits.
void CompareSampling(Context& ctx, ParityCase& parity_case, ScaleModel& model, double cfg,
                     const std::string& suffix, bool compare_logits = true);

// Calls body(cfg, suffix) for each guidance of the section "sampling"; suffix "" or "_cfg1.5".
void ForEachGuidance(const ParityCase& parity_case,
                     const std::function<void(double, const std::string&)>& body);

}  // namespace gesso
