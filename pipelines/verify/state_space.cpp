// Recomputes the cases of state-space models: their ops, and the Mamba blocks, whole sequences and
// sequences that go on token by token.
#include "kernels/causal_conv.h"
#include "kernels/scan.h"
#include "models/mamba/mamba.h"
#include "models/mamba/mamba2.h"
#include "models/nn/load.h"
#include "pipelines/verify/systems.h"

namespace gesso {

namespace {

const Tensor& Ranked(const ParityCase& parity_case, const std::string& name, int rank) {
  const Tensor& tensor = parity_case.At(name);
  Require(tensor.shape().rank() == rank, ErrorKind::kShape, "{}: expected {} dimensions, got {}",
          name, rank, tensor.shape());
  return tensor;
}

// [B, D, L] as the case stores it, as the ops' [B, L, D].
Tensor TokensFirst(const ParityCase& parity_case, const std::string& name, DType dtype) {
  return Cast(Ranked(parity_case, name, 3).view().Permute({0, 2, 1}), dtype);
}

void CompareChannelsFirst(ParityCase& parity_case, const std::string& name, ConstView tokens) {
  parity_case.Compare(name, Cast(tokens.Permute({0, 2, 1}), DType::kF32));
}

// B or C, [B, N, L] or [B, G, N, L], as [B, L, G, N].
Tensor GroupsOf(const ParityCase& parity_case, const std::string& name, DType dtype) {
  ConstView stored = parity_case.At(name);
  if (stored.shape.rank() == 3) {
    const Shape& s = stored.shape;
    stored = stored.Reshape({s[0], 1, s[1], s[2]});
  }
  Require(stored.shape.rank() == 4, ErrorKind::kShape, "{}: expected 3 or 4 dimensions, got {}",
          name, stored.shape);
  return Cast(stored.Permute({0, 3, 1, 2}), dtype);
}

Tensor Optional(const ParityCase& parity_case, const std::string& name) {
  return parity_case.Has(name) ? Cast(parity_case.At(name), DType::kF32) : Tensor();
}

// Tokens begin .. end-1 of x [B, L, C], contiguous.
Tensor Tokens(const Tensor& x, int64_t begin, int64_t end) {
  return Cast(x.view().Slice(1, begin, end), DType::kF32);
}

// Runs step(tokens, out) on the first `prefill` tokens of x at once, calls after_prefill(), then on
// one token at a time; returns all outputs.
template <class Step, class AfterPrefill>
Tensor Decode(const Tensor& x, int64_t prefill, const Step& step,
              const AfterPrefill& after_prefill) {
  Tensor all(x.shape(), DType::kF32);
  const int64_t width = x.shape()[2];
  for (int64_t begin = 0; begin < x.shape()[1];) {
    const int64_t end = begin == 0 ? prefill : begin + 1;
    const Tensor tokens = Tokens(x, begin, end);
    Tensor out(tokens.shape(), DType::kF32);
    step(tokens, out.mutable_view());
    for (int64_t b = 0; b < x.shape()[0]; ++b) {
      std::copy_n(out.Data<float>() + b * (end - begin) * width, (end - begin) * width,
                  all.MutableData<float>() + (b * x.shape()[1] + begin) * width);
    }
    if (begin == 0) after_prefill();
    begin = end;
  }
  return all;
}

// A block whose Forward is run(ctx, activation, x, state, out), in one go and step by step.
template <class Block, class Run>
void CompareBlock(Context& ctx, ParityCase& parity_case, Block& block, const Run& run) {
  const VerifyOptions& options = parity_case.options();
  nn::LoadWeights(block, parity_case.ModelWeights(), options.device, options.dtype);
  block.Prepare();
  const DType activation = ActivationDType(options.device, options.dtype);
  const Tensor x = Cast(Ranked(parity_case, "in/hidden_states", 3), DType::kF32);
  const int64_t prefill = GetInt(parity_case.config(), "prefill", 1, x.shape()[1]);
  Tensor y(x.shape(), DType::kF32);
  run(activation, x, nullptr, y.mutable_view());
  parity_case.Compare("out/y", y);
  mamba::State state = block.MakeState(x.shape()[0]);
  const Tensor steps = Decode(
      x, prefill, [&](const Tensor& tokens, View out) { run(activation, tokens, &state, out); },
      [&] {
        ctx.Show("conv_state_after_prefill", state.conv);
        ctx.Show("ssm_state_after_prefill", state.ssm);
      });
  parity_case.Compare("out/y_step", steps);
  parity_case.Compare("out/conv_state", state.conv);
  parity_case.Compare("out/ssm_state", state.ssm);
}

}  // namespace

void VerifySelectiveScan(Context& ctx, ParityCase& parity_case) {
  const DType dtype = parity_case.options().dtype;
  const Tensor u = TokensFirst(parity_case, "in/u", dtype);
  const Tensor delta = TokensFirst(parity_case, "in/delta", dtype);
  const Tensor a = Cast(Ranked(parity_case, "in/A", 2), DType::kF32);
  const Tensor b = GroupsOf(parity_case, "in/B", dtype);
  const Tensor c = GroupsOf(parity_case, "in/C", dtype);
  const Tensor d = Optional(parity_case, "in/D");
  const Tensor bias = Optional(parity_case, "in/delta_bias");
  const Tensor z = parity_case.Has("in/z") ? TokensFirst(parity_case, "in/z", dtype) : Tensor();
  Tensor y(u.shape(), DType::kF32);
  Tensor last({u.shape()[0], a.shape()[0], a.shape()[1]}, DType::kF32);
  SelectiveScanArgs args;
  args.forward = {.u = u,
                  .delta = delta,
                  .a = a,
                  .b = b,
                  .c = c,
                  .d = d,
                  .delta_bias = bias,
                  .final_state = last.mutable_view()};
  args.delta_softplus = Get<bool>(parity_case.config(), "delta_softplus");
  args.z = z;
  args.out = y.mutable_view();
  SelectiveScan(ctx, args);
  CompareChannelsFirst(parity_case, "out/y", y);
  parity_case.Compare("out/last_state", last);
}

void VerifyCausalConv1d(Context& ctx, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const auto activation = Get<std::string>(config, "activation", "");
  Require(activation.empty() || activation == "silu", ErrorKind::kConfig,
          "field 'activation': '{}' is neither null nor silu", activation);
  const Tensor x = TokensFirst(parity_case, "in/x", parity_case.options().dtype);
  const Tensor weight = Cast(Ranked(parity_case, "in/weight", 2), DType::kF32);
  const Tensor bias = Optional(parity_case, "in/bias");
  const Tensor initial = Optional(parity_case, "in/initial_states");
  Tensor last({x.shape()[0], x.shape()[2], weight.shape()[1] - 1}, DType::kF32);
  Tensor y(x.shape(), DType::kF32);
  CausalConv1d(ctx, {.x = x,
                     .weight = weight,
                     .bias = bias,
                     .activation = activation.empty() ? Activation::kNone : Activation::kSilu,
                     .initial_state = initial,
                     .final_state = last.mutable_view(),
                     .out = y.mutable_view()});
  CompareChannelsFirst(parity_case, "out/y", y);
  parity_case.Compare("out/final_states", last);
}

void VerifySsd(Context& ctx, ParityCase& parity_case) {
  const DType dtype = parity_case.options().dtype;
  const Tensor x = Cast(Ranked(parity_case, "in/X", 4), dtype);
  const Tensor decay = Cast(Ranked(parity_case, "in/A", 3), DType::kF32);
  const Tensor b = Cast(Ranked(parity_case, "in/B", 4), dtype);
  const Tensor c = Cast(Ranked(parity_case, "in/C", 4), dtype);
  const Shape state = {x.shape()[0], x.shape()[2], x.shape()[3], b.shape()[3]};
  const Tensor initial = Optional(parity_case, "in/initial_states");
  Tensor last(state, DType::kF32);
  Tensor y(x.shape(), DType::kF32);
  Ssd(ctx, {.x = x,
            .dt = decay,
            .b = b,
            .c = c,
            .initial_state = initial.empty() ? ConstView() : initial.view().Reshape(state),
            .final_state = last.mutable_view(),
            .out = y.mutable_view()});
  parity_case.Compare("out/Y", y);
  parity_case.Compare("out/final_state", last);
}

void VerifyMambaBlock(Context& ctx, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  mamba::Mamba block(mamba::ParseMambaConfig(config, Get<int64_t>(config, "d_model")));
  CompareBlock(tapped, parity_case, block,
               [&](DType activation, ConstView x, mamba::State* state, View out) {
                 block.Forward(ctx, activation, x, state, out);
               });
}

void VerifyMamba2Block(Context& ctx, ParityCase& parity_case) {
  const Json& config = parity_case.config();
  ParityTap tap(parity_case);
  Context tapped = ctx;
  tapped.tap = &tap;
  mamba::Mamba2 block(mamba::ParseMamba2Config(config, Get<int64_t>(config, "d_model")));
  CompareBlock(tapped, parity_case, block,
               [&](DType activation, ConstView x, mamba::State* state, View out) {
                 block.Forward(ctx, activation, x, state, {}, out);
               });
}

}  // namespace gesso
