#include "bench/forward/call.h"

#include <type_traits>
#include <utility>

#include "models/bidim/session.h"
#include "models/dim/session.h"
#include "models/hdit/session.h"
#include "models/io/json.h"

namespace gesso::bench {

namespace {

// The tensor `name` in `dtype`; empty if the input has none.
Tensor Find(const Weights& input, const std::string& name, DType dtype) {
  const auto found = input.tensors.find(name);
  return found == input.tensors.end() ? Tensor() : Cast(found->second, dtype);
}

std::span<const double> Numbers(const Tensor& tensor) {
  return {tensor.Data<double>(), static_cast<size_t>(tensor.shape().numel())};
}

Shape WithChannels(Shape shape, int64_t channels) {
  shape.Set(1, channels);
  return shape;
}

class HditCall : public Call {
 public:
  HditCall(std::shared_ptr<const hdit::Model> model, const Weights& input)
      : x_(Cast(input.At("x"), DType::kF32)),
        sigma_(Cast(input.At("sigma"), DType::kF64)),
        class_cond_(Find(input, "class_cond", DType::kI32)),
        mapping_cond_(Find(input, "mapping_cond", DType::kF32)),
        aug_cond_(Find(input, "aug_cond", DType::kF32)),
        context_(Find(input, "context", DType::kF32)),
        context_mask_(Find(input, "context_mask", DType::kI32)),
        session_(std::move(model), x_.shape()) {}

  Shape OutShape() const override { return x_.shape(); }
  size_t ArenaBytes() override { return session_.ArenaBytes(Conditioning()); }
  void Prepare(Context& ctx) override { session_.Condition(ctx, Conditioning()); }
  void Forward(Context& ctx, View out) override { session_.Forward(ctx, x_, Numbers(sigma_), out); }

 private:
  hdit::Conditioning Conditioning() const {
    return {.aug_cond = aug_cond_,
            .class_cond = class_cond_,
            .mapping_cond = mapping_cond_,
            .context = context_,
            .context_mask = context_mask_};
  }

  Tensor x_;
  Tensor sigma_;
  Tensor class_cond_;
  Tensor mapping_cond_;
  Tensor aug_cond_;
  Tensor context_;
  Tensor context_mask_;
  hdit::Session session_;
};

// DiM and the bidirectional Diffusion Mamba: x, times and classes.
template <class Model, class Session>
class MambaCall : public Call {
 public:
  MambaCall(std::shared_ptr<const Model> model, const Weights& input)
      : x_(Cast(input.At("x"), DType::kF32)),
        timesteps_(Cast(input.At("timestep"), DType::kF64)),
        classes_(Cast(input.At("y"), DType::kI32)),
        out_(WithChannels(x_.shape(), model->config.out_channels)),
        session_(std::move(model), x_.shape()) {}

  Shape OutShape() const override { return out_; }
  size_t ArenaBytes() override { return session_.ArenaBytes(); }
  void Forward(Context& ctx, View out) override {
    if constexpr (std::is_same_v<Session, bidim::Session>) {
      bidim::Conditioning conditioning;
      conditioning.classes = classes_;
      session_.Forward(ctx, x_, Numbers(timesteps_), conditioning, out);
    } else {
      session_.Forward(ctx, x_, Numbers(timesteps_), classes_, out);
    }
  }

 private:
  Tensor x_;
  Tensor timesteps_;
  Tensor classes_;
  Shape out_;
  Session session_;
};

}  // namespace

std::unique_ptr<Call> MakeCall(const Weights& weights, const Weights& input, Device device,
                               DType dtype) {
  return WithContext(weights.path.string(), [&]() -> std::unique_ptr<Call> {
    const auto config = weights.metadata.find("config");
    Require(config != weights.metadata.end(), ErrorKind::kConfig,
            "has no metadata entry 'config' with the model's configuration");
    const Json json = ParseJson(config->second, "config");
    const auto named = weights.metadata.find("system");
    const std::string system = named == weights.metadata.end() ? "hdit" : named->second;
    if (system == "dim") {
      return std::make_unique<MambaCall<dim::Model, dim::Session>>(
          dim::Load(weights, json, device, dtype), input);
    }
    if (system == "bidim") {
      return std::make_unique<MambaCall<bidim::Model, bidim::Session>>(
          bidim::Load(weights, json, device, dtype), input);
    }
    Require(system == "hdit", ErrorKind::kConfig,
            "metadata entry 'system': '{}' is none of hdit, dim, bidim", system);
    return std::make_unique<HditCall>(hdit::Load(weights, json, device, dtype), input);
  });
}

}  // namespace gesso::bench
