// A norm and the product that reads its result, at once or one after the other.
#include "kernels/norm_linear.h"

#include <vector>

#include "kernels/low_bit.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::ExpectError;
using testing_support::ForEachFast;
using testing_support::RandomTensor;
using testing_support::RandomWeight;
using testing_support::RmsError;
using testing_support::RunImplementation;
using testing_support::SameBits;

const Shape kRows = {2, 5, 64};
constexpr int64_t kOutputs = 48;

// Both norms by both products, with all that they can do.
struct Calls {
  Tensor x, scale, shift, bias, residual, normed, out, gated;
  PackedMatrix weight;
  std::vector<NormLinearArgs> all;

  Calls(DType dtype, PackedMatrix packed)
      : x(RandomTensor(kRows, 1, dtype)),
        scale(RandomTensor({2, 64}, 2)),
        shift(RandomTensor({64}, 3)),
        bias(RandomTensor({kOutputs}, 4)),
        residual(RandomTensor({2, 5, kOutputs}, 5, dtype)),
        normed(kRows, dtype),
        out({2, 5, kOutputs}, dtype),
        gated({2, 5, kOutputs / 2}, dtype),
        weight(std::move(packed)) {
    const RmsNormArgs rms{
        .x = x, .scale = scale, .scale_offset = 1, .out = normed.mutable_view(), .shift = shift};
    const LayerNormArgs layer{
        .x = x, .scale = scale, .shift = shift, .scale_offset = 1, .out = normed.mutable_view()};
    const LinearArgs linear{.x = normed,
                            .weight = &weight,
                            .bias = bias,
                            .activation = Activation::kGeluTanh,
                            .residual = residual,
                            .out = out.mutable_view()};
    const LinearGluArgs glu{.x = normed,
                            .weight = &weight,
                            .activation = Activation::kSilu,
                            .out = gated.mutable_view()};
    all = {{rms, linear}, {layer, linear}, {rms, glu}, {layer, glu}};
  }
};

View OutOf(const NormLinearArgs& args) {
  return std::visit([](const auto& product) { return product.out; }, args.product);
}

Tensor CopyOf(ConstView view) { return Cast(view, view.dtype); }

PackedMatrix Rounding(Device device, LowBit type) {
  return PackLowBit(device, Quantize(RandomWeight(kOutputs, 64), type), DType::kF32);
}

// On a CPU, to the bit.
TEST(NormLinear, IsOneOpAfterTheOther) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool rounds : {false, true}) {
      const Calls calls(dtype, rounds
                                   ? Rounding(Device::kCpu, LowBit::kW8A8)
                                   : PackMatrix(Device::kCpu, RandomWeight(kOutputs, 64), dtype));
      for (const NormLinearArgs& args : calls.all) {
        Profiler profiler;
        Context ctx;
        Norm(ctx, args.norm);
        Multiply(ctx, args.product);
        const Tensor want = CopyOf(OutOf(args));
        ctx.profiler = &profiler;
        NormLinear(ctx, args);
        EXPECT_TRUE(SameBits(OutOf(args), want));
        EXPECT_EQ(profiler.entries().size(), 2u);
      }
    }
  }
}

// ref does not round inputs.
TEST(NormLinear, EqualsRef) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const LowBit type : {LowBit::kW8A8, LowBit::kW4A8, LowBit::kF8A8}) {
      SCOPED_TRACE(fmt::format("{} {}", NameOf(dtype), NameOf(type)));
      const Device device = CurrentBackend() == nullptr ? Device::kCpu : Device::kCuda;
      const Calls calls(dtype, Rounding(device, type));
      for (const NormLinearArgs& args : calls.all) {
        RunImplementation(NormLinearTable(), "ref", args);
        const Tensor want = CopyOf(OutOf(args));
        const double rounded = type == LowBit::kF8A8 ? 0.05 : 0.02;  // of inputs, which ref leaves
        Context ctx{.device = device};
        NormLinear(ctx, args);
        WaitForDevice();
        EXPECT_LT(RmsError(OutOf(args), want), rounded);
        EXPECT_GT(RmsError(OutOf(args), want), 1e-4);
        ForEachFast(NormLinearTable(), args, [&](std::string_view name) {
          RunImplementation(NormLinearTable(), name, args);
          EXPECT_LT(RmsError(OutOf(args), want), rounded);
        });
      }
    }
  }
}

class NamesSeen : public Tap {
 public:
  std::vector<std::string> names;
  void Record(std::string_view name, ConstView) override { names.emplace_back(name); }
};

// Also where the one op, which does not show it, is forced.
TEST(NormLinear, ShowsWhatTheProductReads) {
  Calls calls(DType::kF32, Rounding(Device::kCpu, LowBit::kW8A8));
  calls.weight.set_name("fc1");
  NamesSeen seen;
  Context ctx;
  ctx.tap = &seen;
  ForceImplementation("norm_linear", "ref");
  NormLinear(ctx, calls.all.front());
  ForceImplementation("norm_linear", "");
  EXPECT_EQ(seen.names, std::vector<std::string>{"fc1"});
}

// What is between the two is neither written nor read.
TEST(NormLinear, CostsLessThanBoth) {
  const Calls calls(DType::kBF16, Rounding(Device::kCpu, LowBit::kW8A8));
  for (const NormLinearArgs& args : calls.all) {
    const OpCost cost = NormLinearTable().CostOf(args);
    Profiler profiler;
    Arena arena(Device::kMeta, 0);
    Context ctx{.device = Device::kMeta, .arena = &arena, .profiler = &profiler};
    NormLinear(ctx, args);  // a dry run counts both
    OpCost both;
    for (const auto& [name, entry] : profiler.entries()) {
      both.flops += entry.cost.flops;
      both.bytes += entry.cost.bytes;
    }
    EXPECT_EQ(cost.flops, both.flops);
    EXPECT_EQ(cost.bytes, both.bytes - 2.0 * static_cast<double>(calls.normed.view().bytes()));
  }
}

// Over what is forced of a part; CudaProducts has the part alone, as a CPU has two ops anyway.
TEST(NormLinear, RunsWhatIsForced) {
  const Calls calls(DType::kF32, PackMatrix(Device::kCpu, RandomWeight(kOutputs, 64), DType::kF32));
  const auto ops = [&] {
    Profiler profiler;
    Context ctx;
    ctx.profiler = &profiler;
    NormLinear(ctx, calls.all.front());
    std::vector<std::string> names;
    for (const auto& [name, entry] : profiler.entries()) names.push_back(name);
    return names;
  };
  ForceImplementation("norm_linear", "ref");
  EXPECT_EQ(ops(), std::vector<std::string>{"norm_linear/ref"});
  ForceImplementation("linear", "ref");
  EXPECT_EQ(ops(), std::vector<std::string>{"norm_linear/ref"});
  ForceImplementation("linear", "");
  ForceImplementation("norm_linear", "");
}

TEST(NormLinear, RefusesRowsOfSomethingElse) {
  const Calls calls(DType::kF32, Rounding(Device::kCpu, LowBit::kW8A8));
  const Tensor other = RandomTensor(kRows, 1);
  Context ctx;
  for (NormLinearArgs args : calls.all) {
    std::visit([&](auto& product) { product.x = other; }, args.product);
    ExpectError(ErrorKind::kShape, "is not what the norm gives", [&] { NormLinear(ctx, args); });
  }
  NormLinearArgs args = calls.all.front();
  std::get<RmsNormArgs>(args.norm).groups = 3;
  ExpectError(ErrorKind::kShape, "64 features are not 3", [&] { NormLinear(ctx, args); });
  args = calls.all.front();
  std::get<LinearArgs>(args.product).bias = other;
  ExpectError(ErrorKind::kShape, "linear: bias must be", [&] { NormLinear(ctx, args); });
}

}  // namespace
}  // namespace gesso
