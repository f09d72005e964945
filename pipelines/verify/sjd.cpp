// Recomputes the cases of speculative Jacobi decoding: single windows, and whole sequences of a
// first-order model given as tables, with the recorded draws.
#include <algorithm>

#include "pipelines/verify/systems.h"
#include "samplers/next_token/speculative_jacobi.h"

namespace gesso {

namespace {

constexpr int64_t kMaxSize = 1 << 20;

std::vector<int32_t> Integers(const Tensor& tensor) {
  const Tensor values = Cast(tensor, DType::kI32);
  return {values.Data<int32_t>(), values.Data<int32_t>() + values.shape().numel()};
}

void RequireShape(const std::string& name, const Tensor& tensor, const Shape& shape) {
  Require(tensor.shape() == shape, ErrorKind::kShape, "{}: expected {}, got {}", name, shape,
          tensor.shape());
}

// The logits after position q are table[token at q] + pos_bias[q mod M].
class TableModel : public NextTokenModel {
 public:
  TableModel(const ParityCase& parity_case, int64_t vocab)
      : vocab_(vocab), tables_{Table(parity_case, "weights/table_cond")} {
    if (Get<bool>(parity_case.config(), "do_cfg")) {
      tables_.push_back(Table(parity_case, "weights/table_uncond"));
    }
    pos_bias_ = Cast(parity_case.At("weights/pos_bias"), DType::kF32);
    Require(
        pos_bias_.shape().rank() == 2 && pos_bias_.shape()[0] >= 1 && pos_bias_.shape()[1] == vocab,
        ErrorKind::kShape, "weights/pos_bias: expected [M, {}] with M > 0, got {}", vocab,
        pos_bias_.shape());
  }

  int64_t vocab_size() const override { return vocab_; }
  bool has_unconditional() const override { return tables_.size() == 2; }
  void Forget(int64_t count) override { length_ -= count; }

  void Logits(Context&, std::span<const int32_t> tokens, View logits) override {
    const int64_t rows = logits.shape[1];
    const auto skipped = static_cast<int64_t>(tokens.size()) - rows;
    auto* out = logits.Data<float>();
    for (const Tensor& table : tables_) {
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t position = length_ + skipped + i;
        const int64_t token = tokens[static_cast<size_t>(skipped + i)];
        const float* row = table.Data<float>() + token * vocab_;
        const float* bias = pos_bias_.Data<float>() + position % pos_bias_.shape()[0] * vocab_;
        out = std::transform(row, row + vocab_, bias, out, std::plus<>());
      }
    }
    length_ += static_cast<int64_t>(tokens.size());
  }

 private:
  Tensor Table(const ParityCase& parity_case, const std::string& name) const {
    Tensor table = Cast(parity_case.At(name), DType::kF32);
    RequireShape(name, table, {vocab_, vocab_});
    return table;
  }

  int64_t vocab_;
  std::vector<Tensor> tables_;  // conditional, unconditional
  Tensor pos_bias_;             // [M, V]
  int64_t length_ = 0;          // of the sequence so far
};

// The numbers under in/: [calls, window], or [calls].
class RecordedDraws : public TokenDraws {
 public:
  explicit RecordedDraws(const ParityCase& parity_case) : case_(parity_case) {}

  double Sample(int64_t call, int64_t position) const override {
    return At("in/u_sample", call, position);
  }
  double Accept(int64_t call, int64_t position) const override {
    return At("in/u_accept", call, position);
  }
  double Resample(int64_t call) const override { return At("in/u_resample", call, 0); }
  int64_t Draft(int64_t call, int64_t index, int64_t choices) const override {
    const auto choice = static_cast<int64_t>(At("in/init_index", call, index));
    Require(choice >= 0 && choice < choices, ErrorKind::kFormat,
            "in/init_index: {} is no index of in/img_vocab", choice);
    return choice;
  }

 private:
  double At(const std::string& name, int64_t call, int64_t column) const {
    const Tensor values =
        Cast(case_.At(name), case_.At(name).dtype() == DType::kI32 ? DType::kI32 : DType::kF32);
    const int64_t width = values.shape().rank() == 2 ? values.shape()[1] : 1;
    Require(call < values.shape()[0] && column < width, ErrorKind::kFormat,
            "{}: nothing recorded for call {}, column {}", name, call, column);
    const int64_t at = call * width + column;
    return values.dtype() == DType::kI32 ? values.Data<int32_t>()[at] : values.Data<float>()[at];
  }

  const ParityCase& case_;
};

SpeculativeJacobiOptions OptionsOf(const ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const auto scheme = Get<std::string>(config, "multi_token_init_scheme");
  // Without a row width the published code fills up at random under every scheme.
  Require(scheme == "random" || Get<Json>(config, "img_width", Json()).is_null(),
          ErrorKind::kUnsupported, "multi_token_init_scheme '{}' is not supported (random)",
          scheme);
  const auto rule = Get<std::string>(config, "prefix_token_sampler_scheme");
  Require(rule == "jacobi" || rule == "speculative_jacobi", ErrorKind::kUnsupported,
          "prefix_token_sampler_scheme '{}' is not supported (jacobi, speculative_jacobi)", rule);
  const bool guided = Get<bool>(config, "do_cfg");
  return {.max_new_tokens = Get<int64_t>(config, "max_new_tokens"),
          .window = Get<int64_t>(config, "max_num_new_tokens"),
          .window_begin = Get<int64_t>(config, "jacobi_loop_interval_l"),
          .window_end = Get<int64_t>(config, "jacobi_loop_interval_r"),
          .guidance_scale = guided ? Get<double>(config, "guidance_scale") : 1,
          .top_k = Get<int64_t>(config, "image_top_k", 0),
          .draws = Get<bool>(config, "do_sample"),
          .rule = rule == "jacobi" ? DraftRule::kMatching : DraftRule::kSpeculative,
          .draft_tokens = Integers(parity_case.At("in/img_vocab"))};
}

Tensor IntegerTensor(const std::vector<int32_t>& values, const Shape& shape) {
  Tensor tensor(shape, DType::kI32);
  CHECK(static_cast<int64_t>(values.size()) == shape.numel());
  std::ranges::copy(values, tensor.MutableData<int32_t>());
  return tensor;
}

void VerifyDecode(Context& ctx, ParityCase& parity_case) {
  const SpeculativeJacobiOptions options = OptionsOf(parity_case);
  TableModel model(parity_case, GetInt(parity_case.config(), "vocab_size", 1, kMaxSize));
  std::vector<int32_t> accepted;
  std::vector<int32_t> windows;
  const auto width = static_cast<size_t>(options.window);
  const std::vector<int32_t> tokens = DecodeSpeculativeJacobi(
      ctx, model, Integers(parity_case.At("in/prompt")), options, RecordedDraws(parity_case),
      [&](const NextTokenStep& step) {
        accepted.push_back(static_cast<int32_t>(step.accepted));
        const size_t shown = std::min(step.inputs.size(), width);
        windows.insert(windows.end(), step.inputs.begin(), step.inputs.begin() + shown);
        windows.insert(windows.end(), width - shown, -1);
      });
  const auto calls = static_cast<int64_t>(accepted.size());
  parity_case.Compare("mid/window", IntegerTensor(windows, {calls, options.window}));
  parity_case.Compare("out/accepted", IntegerTensor(accepted, {calls}));
  parity_case.Compare("out/num_calls", IntegerTensor({static_cast<int32_t>(calls)}, {1}));
  parity_case.Compare("out/tokens", IntegerTensor(tokens, {static_cast<int64_t>(tokens.size())}));
}

std::span<const double> Batch(const Tensor& values, int64_t b) {
  const int64_t size = values.shape().numel() / values.shape()[0];
  return {values.Data<double>() + b * size, static_cast<size_t>(size)};
}

void VerifyAccept(ParityCase& parity_case) {
  const Json& config = parity_case.config();
  const auto batch = GetInt(config, "batch", 1, kMaxSize);
  const auto length = GetInt(config, "window", 1, kMaxSize);
  const auto vocab = GetInt(config, "vocab_size", 1, kMaxSize);
  const auto input = [&](const std::string& name, const Shape& shape, DType dtype) {
    RequireShape(name, parity_case.At(name), shape);
    return Cast(parity_case.At(name), dtype);
  };
  const Tensor drafts = input("in/draft_tokens", {batch, length}, DType::kI32);
  const Tensor draft_probs = input("in/draft_prob", {batch, length, vocab}, DType::kF64);
  const Tensor new_probs = input("in/advanced_prob", {batch, length, vocab}, DType::kF64);
  const Tensor accept = input("in/u_accept", {batch, length}, DType::kF64);
  const Tensor resample = input("in/u_resample", {batch}, DType::kF64);
  Tensor tokens = input("in/advanced_tokens", {batch, length}, DType::kI32);
  Tensor accepted({batch}, DType::kI32);
  Tensor residual({batch, vocab}, DType::kF64);
  for (int64_t b = 0; b < batch; ++b) {
    const auto width = static_cast<size_t>(length);
    const DraftWindow window = {.inputs = {drafts.Data<int32_t>() + b * length, width},
                                .draft_probs = Batch(draft_probs, b),
                                .new_probs = Batch(new_probs, b),
                                .new_tokens = {tokens.MutableData<int32_t>() + b * length, width}};
    const WindowVerdict verdict =
        VerifyWindow(window, Batch(accept, b), resample.Data<double>()[b]);
    accepted.MutableData<int32_t>()[b] = static_cast<int32_t>(verdict.accepted);
    std::ranges::copy(verdict.residual, residual.MutableData<double>() + b * vocab);
  }
  parity_case.Compare("out/accept_len", accepted);
  parity_case.Compare("out/tokens", tokens);
  parity_case.Compare("out/residual_prob", residual);
}

}  // namespace

void VerifySpeculativeJacobi(Context& ctx, ParityCase& parity_case) {
  const auto kind = Get<std::string>(parity_case.config(), "kind");
  if (kind == "accept") return VerifyAccept(parity_case);
  if (kind == "decode") return VerifyDecode(ctx, parity_case);
  Fail(ErrorKind::kUnsupported, "kind '{}' is not supported (accept, decode)", kind);
}

}  // namespace gesso
