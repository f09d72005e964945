#include "pipelines/conditions.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace gesso {

void CheckCondition(const Request& request, bool takes_text, int64_t classes) {
  Require(!request.class_label || classes > 0, ErrorKind::kUsage,
          "class_label: model '{}' knows no classes", *request.model);
  Require(!request.class_label || *request.class_label < classes, ErrorKind::kUsage,
          "class_label: {} is none of the {} classes (0 .. {}) of model '{}'",
          request.class_label.value_or(0), classes, classes - 1, *request.model);
  Require(request.prompt || !takes_text, ErrorKind::kUsage,
          "there is no prompt (an empty one, \"\", is allowed)");
  const std::string_view advice = classes > 0 ? "; choose a class with --class-label" : "";
  for (const auto& [field, text] : {std::pair("prompt", request.prompt),
                                    std::pair("negative_prompt", request.negative_prompt)}) {
    Require(takes_text || text.value_or("").empty(), ErrorKind::kUsage,
            "{}: model '{}' takes no text{}", field, *request.model, advice);
  }
}

text::EncodedPrompts EncodePrompts(const text::PromptEncoder& encoder, const Request& request) {
  const std::array<std::string, 2> prompts = {*request.negative_prompt, *request.prompt};
  text::EncodedPrompts encoded = encoder.Encode(prompts);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!encoded.truncated[i]) continue;
    spdlog::warn("the {}prompt is too long: the model reads its first {} tokens",
                 i == 0 ? "negative " : "", encoder.max_tokens());
  }
  return encoded;
}

Tensor ClassLabels(const Request& request, int64_t classes) {
  Tensor labels({2}, DType::kI32);
  labels.MutableData<int32_t>()[0] = static_cast<int32_t>(classes);
  labels.MutableData<int32_t>()[1] = static_cast<int32_t>(request.class_label.value_or(classes));
  return labels;
}

void RequireFinite(ConstView pictures, const Request& request) {
  const float* values = pictures.Data<float>();
  Require(std::all_of(values, values + pictures.numel(), [](float v) { return std::isfinite(v); }),
          ErrorKind::kFormat, "model '{}' gave values that are not numbers", *request.model);
}

}  // namespace gesso
