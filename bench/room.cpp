#include "bench/room.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "bench/op_bench.h"
#include "kernels/elementwise.h"

namespace gesso::bench {

namespace {

// Of the largest line and a float32 copy of its largest tensor.
size_t RoomBytes() { return size_t{1} << (ChosenDevice() == Device::kCpu ? 30 : 33); }

struct Stage {
  Arena arena{ChosenDevice(), RoomBytes()};
  std::string weight_name;  // of the product's weights that were made last
  PackedMatrix weight;
  std::string name;  // of the line that `held` is for
  std::unique_ptr<Room> room;
  std::shared_ptr<void> held;
};

Stage& TheStage() {
  static Stage stage;
  return stage;
}

// Noise to begin with, drawn by the device, then copies of it: on a CPU drawing is slow.
void FillFloats(View to) {
  constexpr int64_t kDrawn = int64_t{1} << 20;
  const int64_t count = to.numel();
  const View all = to.Reshape({count});
  Context ctx = RoomContext();
  const NormalTerm normal = {1, 0};
  const uint64_t seed = 0;
  int64_t filled = std::min(count, kDrawn);
  LinearCombination(ctx, {.terms = {},
                          .out = all.Slice(0, 0, filled).Reshape({1, filled}),
                          .noise = {.coefficient = 0.5f,
                                    .seeds = std::span(&seed, 1),
                                    .streams = std::span(&normal, 1)}});
  while (filled < count) {
    const int64_t more = std::min(filled, count - filled);
    const std::array<Term, 1> terms = {{{1, all.Slice(0, 0, more)}}};
    LinearCombination(ctx, {.terms = terms, .out = all.Slice(0, filled, filled + more)});
    filled += more;
  }
}

// Of a matrix of many rows a part is rounded and repeated: time goes by its shape alone.
LowBitMatrix Rounded(ConstView weight, LowBit few) {
  constexpr int64_t kParts = 16;
  const int64_t rows = weight.shape[0];
  if (rows < 1024 || rows % kParts != 0) return Quantize(weight, few);
  return Stack(std::vector<LowBitMatrix>(kParts, Quantize(weight.Slice(0, 0, rows / kParts), few)));
}

}  // namespace

Room::Room(Use use) : use_(use), scope_(TheStage().arena) {}

View Room::Empty(const Shape& shape, DType dtype) { return TheStage().arena.Alloc(shape, dtype); }

View Room::Values(const Shape& shape, DType dtype) {
  const View values = Empty(shape, dtype);
  if (use_ == Use::kSketch) return values;
  if (dtype == DType::kF32) {
    FillFloats(values);
    return values;
  }
  const Arena::Scope scope(TheStage().arena);
  const View floats = Empty({shape.numel() / shape[-1], shape[-1]});
  FillFloats(floats);
  Context ctx = RoomContext();
  Activate(ctx,
           {.x = floats, .activation = Activation::kNone, .out = values.Reshape(floats.shape)});
  return values;
}

View Room::Filled(const Shape& shape, const std::function<float(int64_t)>& value) {
  const View filled = Empty(shape);
  if (use_ == Use::kSketch) return filled;
  auto* const to = filled.Data<float>();
  for (int64_t i = 0; i < shape.numel(); ++i) to[i] = value(i);
  return filled;
}

PackedMatrix Room::Weight(int64_t n, int64_t k, DType dtype, std::optional<LowBit> few) {
  if (use_ == Use::kSketch) {
    constexpr int64_t kSide = 256;
    n = std::min(n, kSide);
    k = std::min(k, kSide);
  }
  Stage& stage = TheStage();
  std::string name = fmt::format("{}x{} {} {}", n, k, NameOf(dtype), few ? NameOf(*few) : "");
  if (stage.weight_name != name) {
    const Arena::Scope scope(stage.arena);
    const View values = Empty({n, k});
    FillFloats(values);
    stage.weight = few ? PackLowBit(ChosenDevice(), Rounded(values, *few), dtype)
                       : PackMatrix(ChosenDevice(), values, dtype);
    stage.weight_name = std::move(name);
  }
  return stage.weight;
}

PackedKernel Room::Kernel(const Shape& shape, DType dtype, Conv2dShape conv) {
  const Arena::Scope scope(TheStage().arena);
  return PackKernel(ChosenDevice(), Values(shape), dtype, conv);
}

Context RoomContext() { return {.device = ChosenDevice(), .arena = &TheStage().arena}; }

std::shared_ptr<void> Held(const std::string& name,
                           const std::function<std::shared_ptr<void>(Room&)>& make) {
  Stage& stage = TheStage();
  if (stage.name != name) {
    stage.held = nullptr;
    stage.room = nullptr;
    stage.room = std::make_unique<Room>(Room::Use::kRun);
    stage.held = make(*stage.room);
    stage.name = name;
  }
  return stage.held;
}

}  // namespace gesso::bench
