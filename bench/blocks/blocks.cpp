#include "bench/blocks/blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "kernels/attention.h"
#include "kernels/core/rng.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "models/io/low_bit.h"
#include "models/mamba/mamba.h"
#include "models/nn/heads.h"
#include "models/nn/load.h"
#include "pipelines/calibrate.h"
#include "pipelines/convert.h"

namespace gesso::bench {

namespace {

constexpr int64_t kHeadDim = 64;
constexpr float kEps = 1e-6f;

// The modulation of one picture: shift, scale, gate.
Tensor Modulation(int64_t width, uint64_t stream) {
  Tensor row({1, 3 * width}, DType::kF32);
  FillNormal(row.mutable_view(), 1, stream);
  float* const values = row.MutableData<float>();
  std::transform(values, values + 3 * width, values, [](float v) { return 0.2F * v; });
  return row;
}

struct DimNet {
  int64_t width;
  mamba::Mamba mixer;
  Tensor modulation;

  explicit DimNet(int64_t w)
      : width(w),
        mixer(mamba::ParseMambaConfig({{"d_state", 16}, {"d_conv", 3}, {"expand", 2}}, w)),
        modulation(Modulation(w, 100)) {}

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
    mixer.Visit(visitor, prefix + "mixer.");
  }
  void Prepare() { mixer.Prepare(); }

  // x + gate mixer(norm(x) (1 + scale) + shift)
  void Forward(Context& ctx, DType activation, ConstView x, View out) const {
    const Arena::Scope scope(*ctx.arena);
    const View normed = ctx.arena->Alloc(x.shape, activation);
    const View mixed = ctx.arena->Alloc(x.shape, DType::kF32);
    const ConstView row = modulation;
    RmsNorm(ctx, {.x = x,
                  .scale = row.Slice(1, width, 2 * width),
                  .scale_offset = 1,
                  .eps = kEps,
                  .out = normed,
                  .shift = row.Slice(1, 0, width)});
    mixer.Forward(ctx, activation, normed, nullptr, mixed);
    GatedAdd(ctx,
             {.residual = x, .x = mixed, .gate = row.Slice(1, 2 * width, 3 * width), .out = out});
  }
};

struct DitNet {
  int64_t width;
  nn::Linear qkv;
  nn::Linear proj;
  nn::Linear up;
  nn::Linear down;
  std::array<Tensor, 2> modulation;

  explicit DitNet(int64_t w)
      : width(w),
        qkv(3 * w, w, nn::Precision::kModel, nn::Bias::kLearned),
        proj(w, w, nn::Precision::kModel, nn::Bias::kLearned),
        up(4 * w, w, nn::Precision::kModel, nn::Bias::kLearned),
        down(w, 4 * w, nn::Precision::kModel, nn::Bias::kLearned),
        modulation{Modulation(w, 101), Modulation(w, 102)} {}

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
    qkv.Visit(visitor, prefix + "attn.qkv.");
    proj.Visit(visitor, prefix + "attn.proj.");
    up.Visit(visitor, prefix + "mlp.fc1.");
    down.Visit(visitor, prefix + "mlp.fc2.");
  }
  void Prepare() {}

  // out = residual + gate x, with the gate of branch `branch`.
  void Add(Context& ctx, size_t branch, ConstView residual, ConstView x, View out) const {
    const ConstView row = modulation[branch];
    GatedAdd(
        ctx,
        {.residual = residual, .x = x, .gate = row.Slice(1, 2 * width, 3 * width), .out = out});
  }

  void Forward(Context& ctx, DType activation, ConstView x, View out) const {
    const Arena::Scope scope(*ctx.arena);
    const int64_t length = x.shape[1];
    const View normed = ctx.arena->Alloc(x.shape, activation);
    const View branch = ctx.arena->Alloc(x.shape, DType::kF32);
    const auto norm = [&](size_t i, ConstView from) {
      const ConstView row = modulation[i];
      LayerNorm(ctx, {.x = from,
                      .scale = row.Slice(1, width, 2 * width),
                      .shift = row.Slice(1, 0, width),
                      .scale_offset = 1,
                      .eps = kEps,
                      .out = normed});
    };
    {
      const Arena::Scope attention(*ctx.arena);
      const View projected = ctx.arena->Alloc({1, length, 3 * width}, activation);
      const View mixed = ctx.arena->Alloc(x.shape, activation);
      norm(0, x);
      qkv.Forward(ctx, normed, projected);
      const auto part = [&](int64_t i) {
        return nn::SplitHeads(ConstView(projected).Slice(2, i * width, (i + 1) * width),
                              width / kHeadDim);
      };
      AttentionArgs args;
      args.q = part(0);
      args.k = part(1);
      args.v = part(2);
      args.scale = 1 / std::sqrt(static_cast<float>(kHeadDim));
      args.out = nn::SplitHeads(mixed, width / kHeadDim);
      Attention(ctx, args);
      proj.Forward(ctx, mixed, branch);
    }
    Add(ctx, 0, x, branch, out);
    norm(1, out);
    const View hidden = ctx.arena->Alloc({1, length, 4 * width}, activation);
    up.Forward(ctx, normed, hidden, {}, Activation::kGeluTanh);
    down.Forward(ctx, hidden, branch);
    Add(ctx, 1, out, branch, out);
  }
};

// Weights that keep activations near 1, and Mamba's parameters as they are initialised.
template <nn::Module Net>
Weights RandomWeights(Net& net) {
  nn::ShapeCollector collector;
  net.Visit(collector, "");
  Weights weights;
  weights.path = "random";
  uint64_t stream = 0;
  for (const auto& [name, shape] : collector.shapes()) {
    Tensor tensor(shape, DType::kF32);
    FillNormal(tensor.mutable_view(), 1, stream++);
    const auto fan_in =
        static_cast<float>(shape.rank() >= 2 ? shape.numel() / shape[0] : int64_t{100});
    for (int64_t i = 0; i < shape.numel(); ++i) {
      float& value = tensor.MutableData<float>()[i];
      value /= std::sqrt(fan_in);
      if (name.ends_with("A_log")) value = std::log(static_cast<float>(i % shape[1] + 1));
      if (name.ends_with(".D")) value = 1;
      if (name.ends_with("dt_proj.bias")) value = -4.6F + value;  // steps near 0.01
    }
    weights.tensors[name] = std::move(tensor);
  }
  return weights;
}

// Counts what packed matrices take.
class ByteCounter : public nn::ParameterVisitor {
 public:
  size_t bytes = 0;
  void Matrix(std::span<const nn::MatrixPart>, int64_t, nn::Precision,
              PackedMatrix& matrix) override {
    bytes += matrix.bytes();
  }
  void Kernel(const std::string&, const Shape&, Conv2dShape, nn::Precision,
              PackedKernel&) override {}
  void Plain(const std::string&, const Shape&, nn::Role, Tensor&) override {}
};

template <class Net>
class BlockOf : public Block {
 public:
  BlockOf(int64_t width, const std::string& precision, ConstView sample) : net_(width) {
    Weights weights = RandomWeights(net_);
    parameters_ = nn::CountParameters(net_);
    const DType dtype = precision == "float32" ? DType::kF32 : DType::kBF16;
    if (const auto type = LowBitNamed(precision)) {
      RangeTap ranges(weights);
      if (!sample.empty() && IsIntegerProduct(*type)) {
        BlockOf<Net> exact(width, "float32", {});
        Arena arena(Device::kCpu, size_t{4} << 30);
        Context ctx{.arena = &arena, .tap = &ranges};
        exact.Forward(ctx, sample, arena.Alloc(sample.shape, DType::kF32));
      }
      ConvertReport report;
      weights.tensors = RoundWeights(weights, *type, ranges.Scales(), report);
    } else {
      Require(precision == "float32" || precision == "bfloat16", ErrorKind::kUsage,
              "'{}' is no precision", precision);
    }
    nn::LoadWeights(net_, weights, Device::kCpu, dtype);
    net_.Prepare();
    activation_ = ActivationDType(Device::kCpu, dtype);
    ByteCounter counter;
    net_.Visit(counter, "");
    weight_bytes_ = counter.bytes;
  }

  void Forward(Context& ctx, ConstView x, View out) const override {
    net_.Forward(ctx, activation_, x, out);
  }
  int64_t parameters() const override { return parameters_; }
  size_t weight_bytes() const override { return weight_bytes_; }

 private:
  Net net_;
  DType activation_ = DType::kF32;
  int64_t parameters_ = 0;
  size_t weight_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Block> MakeBlock(const std::string& kind, const std::string& precision,
                                 int64_t width, ConstView sample) {
  Require(width > 0 && width % kHeadDim == 0, ErrorKind::kUsage, "a width of {} has no heads of {}",
          width, kHeadDim);
  if (kind == "dim") return std::make_unique<BlockOf<DimNet>>(width, precision, sample);
  Require(kind == "dit", ErrorKind::kUsage, "'{}' is neither dim nor dit", kind);
  return std::make_unique<BlockOf<DitNet>>(width, precision, sample);
}

}  // namespace gesso::bench
