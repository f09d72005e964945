// Where the tensors of a line lie, and what fills them: one block of the device's memory in which
// all lines take turns. A GPU has its pages after the first of them, and no line waits for others.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kernels/conv.h"
#include "kernels/core/context.h"
#include "kernels/gemm.h"
#include "kernels/low_bit.h"

namespace gesso::bench {

// Tensors lie in it until its end.
class Room {
 public:
  // A sketch has tensors of the same shapes, which hold nothing: enough to ask implementations
  // whether they take them.
  enum class Use { kSketch, kRun };
  explicit Room(Use use);

  // Whatever the memory holds.
  View Empty(const Shape& shape, DType dtype = DType::kF32);
  // Normal numbers of deviation 0.5, the same in every run.
  View Values(const Shape& shape, DType dtype = DType::kF32);
  // Element i is value(i), in float32.
  View Filled(const Shape& shape, const std::function<float(int64_t)>& value);
  // Weights [n, k] of a product, in few bits if `few` says so; in a sketch smaller ones.
  PackedMatrix Weight(int64_t n, int64_t k, DType dtype, std::optional<LowBit> few = std::nullopt);
  // Weights [O, I/groups, KH, KW] of a convolution.
  PackedKernel Kernel(const Shape& shape, DType dtype, Conv2dShape conv);

 private:
  Use use_;
  Arena::Scope scope_;
};

// For ops on what lies in a room.
Context RoomContext();

// What make(room) gave for the line called `name`, kept until another line asks for its own.
std::shared_ptr<void> Held(const std::string& name,
                           const std::function<std::shared_ptr<void>(Room&)>& make);

}  // namespace gesso::bench
