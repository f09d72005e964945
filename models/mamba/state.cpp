#include "models/mamba/state.h"

#include <algorithm>

#include "kernels/core/select.h"

namespace gesso::mamba {

void State::Reset() {
  std::fill_n(conv.MutableData<float>(), conv.view().numel(), 0.0f);
  std::fill_n(ssm.MutableData<float>(), ssm.view().numel(), 0.0f);
}

State State::Fork(std::span<const int64_t> rows) const {
  return {.conv = Select(conv, 0, rows), .ssm = Select(ssm, 0, rows)};
}

}  // namespace gesso::mamba
