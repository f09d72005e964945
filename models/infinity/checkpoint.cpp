#include "models/infinity/checkpoint.h"

#include <algorithm>

namespace gesso::infinity {

namespace {

constexpr std::string_view kTrainer = "trainer.gpt_fsdp.";
constexpr std::string_view kKeyBias = "zero_k_bias";

bool IsZero(const Tensor& tensor) {
  const Tensor values = Cast(tensor, DType::kF32);
  const auto* begin = values.Data<float>();
  return std::all_of(begin, begin + values.shape().numel(), [](float value) { return value == 0; });
}

}  // namespace

Weights TransformerWeights(const Weights& file) {
  Weights weights = file.Under(kTrainer);
  if (weights.tensors.empty()) weights.tensors = file.tensors;
  std::erase_if(weights.tensors, [&](const auto& item) {
    if (!item.first.ends_with(kKeyBias)) return false;
    Require(IsZero(item.second), ErrorKind::kFormat, "{}: tensor {}: expected zeros",
            file.path.string(), item.first);
    return true;
  });
  return weights;
}

}  // namespace gesso::infinity
