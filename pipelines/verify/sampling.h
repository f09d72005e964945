// What the cases of samplers and schedules share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/tensor.h"
#include "models/io/json.h"

namespace gesso {

// "name:key=value,..." of all fields of `config` but those in `others`.
std::string MethodOf(std::string_view name, const Json& config,
                     const std::vector<std::string_view>& others);

// As a float32 tensor [count].
Tensor VectorOf(const std::vector<double>& values);

}  // namespace gesso
