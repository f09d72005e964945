#include "pipelines/verify/sampling.h"

#include <algorithm>

namespace gesso {

std::string MethodOf(std::string_view name, const Json& config,
                     const std::vector<std::string_view>& others) {
  std::string method(name);
  char separator = ':';
  for (const auto& [key, value] : config.items()) {
    if (std::ranges::find(others, key) != others.end()) continue;
    method += separator + key + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
    separator = ',';
  }
  return method;
}

Tensor VectorOf(const std::vector<double>& values) {
  Tensor tensor({static_cast<int64_t>(values.size())}, DType::kF32);
  std::ranges::transform(values, tensor.MutableData<float>(),
                         [](double value) { return static_cast<float>(value); });
  return tensor;
}

}  // namespace gesso
