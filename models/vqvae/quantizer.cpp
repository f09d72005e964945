#include "models/vqvae/quantizer.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/elementwise.h"
#include "kernels/resize.h"
#include "kernels/token.h"

namespace gesso::vqvae {

namespace {

int64_t Tokens(std::span<const MapSize> maps) {
  int64_t sum = 0;
  for (const MapSize& map : maps) sum += map.tokens();
  return sum;
}

// The codebook whose nearest row by product is the nearest by angle.
Tensor Normalized(const Tensor& codebook) {
  Tensor unit = Cast(codebook, DType::kF32);
  const int64_t width = unit.shape()[1];
  for (int64_t v = 0; v < unit.shape()[0]; ++v) {
    float* row = unit.MutableData<float>() + v * width;
    double square = 0;
    for (int64_t i = 0; i < width; ++i) {
      square += static_cast<double>(row[i]) * static_cast<double>(row[i]);
    }
    const auto factor = static_cast<float>(1 / std::max(std::sqrt(square), 1e-12));
    for (int64_t i = 0; i < width; ++i) row[i] *= factor;
  }
  return unit;
}

}  // namespace

void Quantizer::Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
  const int64_t z = config_.z_channels;
  visitor.Plain(prefix + "embedding.weight", {config_.vocab_size, z}, nn::Role::kParameter,
                codebook_);
  phis_.resize(static_cast<size_t>(config_.phi_count));
  for (size_t i = 0; i < phis_.size(); ++i) {
    std::string name = fmt::format("{}quant_resi.qresi_ls.{}.", prefix, i);
    if (config_.share_quant_resi == 1) name = prefix + "quant_resi.qresi.";
    if (config_.share_quant_resi == 0) name = fmt::format("{}quant_resi.{}.", prefix, i);
    visitor.Plain(name + "weight", {z, z, 3, 3}, nn::Role::kParameter, phis_[i].weight);
    visitor.Plain(name + "bias", {z}, nn::Role::kParameter, phis_[i].bias);
  }
}

void Quantizer::Pack(Device device) {
  const int64_t z = config_.z_channels;
  const auto ratio = static_cast<float>(config_.quant_resi);
  search_ = PackCodebook(device, config_.using_znorm ? Normalized(codebook_) : codebook_);
  if (config_.using_znorm) search_.bias = Tensor({config_.vocab_size}, DType::kF32);
  for (Phi& phi : phis_) {
    Tensor weight = Cast(phi.weight, DType::kF32);
    phi.folded_bias = Cast(phi.bias, DType::kF32);
    float* taps = weight.MutableData<float>();
    for (int64_t i = 0; i < weight.shape().numel(); ++i) taps[i] *= ratio;
    for (int64_t c = 0; c < z; ++c) {
      taps[(c * z + c) * 9 + 4] += 1 - ratio;  // the centre of the 3x3 taps
      phi.folded_bias.MutableData<float>()[c] *= ratio;
    }
    phi.kernel = PackKernel(device, weight, DType::kF32, {.padding = 1}, Factors::kWhole);
    phi.weight = Tensor();
    phi.bias = Tensor();
  }
}

int64_t Quantizer::PhiIndex(int64_t scale, int64_t scales) const {
  CHECK(scale >= 0 && scale < scales && !phis_.empty());
  const auto count = static_cast<int64_t>(phis_.size());
  if (count == 1) return 0;
  // In double and step by step as numpy.linspace does it: for ten scales and four phis two ties
  // are decided by rounding.
  const double at = scales == 1 ? 0 : static_cast<double>(scale) / static_cast<double>(scales - 1);
  const double first = 1.0 / (count == 4 ? 3 : 2) / static_cast<double>(count);
  const double last = 1 - first;
  const double step = (last - first) / static_cast<double>(count - 1);
  int64_t nearest = 0;
  double distance = 2;
  for (int64_t i = 0; i < count; ++i) {
    const double tick = i == count - 1 ? last : static_cast<double>(i) * step + first;
    if (std::abs(tick - at) >= distance) continue;
    nearest = i;
    distance = std::abs(tick - at);
  }
  return nearest;
}

void Quantizer::Accumulate(Context& ctx, int64_t scale, int64_t scales, ConstView codes,
                           View f_hat) const {
  const Arena::Scope scope(*ctx.arena);
  ConstView h = codes;
  if (!(codes.shape == f_hat.shape)) {
    const View enlarged = ctx.arena->Alloc(f_hat.shape, DType::kF32);
    Resize(ctx, {.x = codes, .resampling = Resampling::kBicubic, .out = enlarged});
    h = enlarged;
  }
  if (phis_.empty()) {
    const std::array<Term, 2> sum = {{{1, h}, {1, f_hat}}};
    LinearCombination(ctx, {.terms = std::span(sum).first(scale == 0 ? 1 : 2), .out = f_hat});
    return;
  }
  const Phi& phi = phis_[static_cast<size_t>(PhiIndex(scale, scales))];
  Conv2d(ctx, {.x = h,
               .kernel = &phi.kernel,
               .bias = phi.folded_bias,
               .residual = scale == 0 ? ConstView() : f_hat,
               .out = f_hat});
}

void Quantizer::LookUp(Context& ctx, ConstView tokens, View codes) const {
  const int64_t count = codes.shape[1] * codes.shape[2];
  Require(tokens.dtype == DType::kI32 && tokens.shape == Shape({codes.shape[0], count}),
          ErrorKind::kShape, "expected int32 tokens [{}, {}], got {} {}", codes.shape[0], count,
          NameOf(tokens.dtype), tokens.shape);
  for (int64_t b = 0; b < codes.shape[0]; ++b) {
    GatherRows(ctx, {.table = codebook_,
                     .ids = tokens.Slice(0, b, b + 1).Reshape({count}),
                     .out = codes.Slice(0, b, b + 1).Reshape({count, config_.z_channels})});
  }
}

void Quantizer::AccumulateTokens(Context& ctx, int64_t scale, int64_t scales, ConstView tokens,
                                 MapSize map, View f_hat) const {
  const Arena::Scope scope(*ctx.arena);
  const View codes =
      ctx.arena->Alloc({f_hat.shape[0], map.height, map.width, config_.z_channels}, DType::kF32);
  LookUp(ctx, tokens, codes);
  Accumulate(ctx, scale, scales, codes, f_hat);
}

void Quantizer::NextInput(Context& ctx, ConstView f_hat, View next) const {
  Resize(ctx, {.x = f_hat, .resampling = Resampling::kArea, .out = next});
}

void Quantizer::CheckMaps(ConstView tokens, std::span<const MapSize> maps, ConstView f_hat) const {
  Require(f_hat.shape.rank() == 4 && f_hat.shape[3] == config_.z_channels, ErrorKind::kShape,
          "expected a map [B, H, W, {}], got {}", config_.z_channels, f_hat.shape);
  Require(!maps.empty() &&
              std::ranges::all_of(
                  maps, [](const MapSize& map) { return map.height > 0 && map.width > 0; }),
          ErrorKind::kUsage, "the token maps must not be empty");
  Require(tokens.shape == Shape({f_hat.shape[0], Tokens(maps)}) && tokens.dtype == DType::kI32,
          ErrorKind::kShape, "expected int32 tokens [{}, {}] for {} scales, got {} {}",
          f_hat.shape[0], Tokens(maps), maps.size(), NameOf(tokens.dtype), tokens.shape);
}

void Quantizer::Encode(Context& ctx, ConstView f, std::span<const MapSize> maps, View tokens,
                       View f_hat) const {
  CheckMaps(tokens, maps, f_hat);
  Require(f.shape == f_hat.shape && maps.back() == MapSize{f.shape[1], f.shape[2]},
          ErrorKind::kShape, "the last token map is {} x {}, but f is {} and f_hat {}",
          maps.back().height, maps.back().width, f.shape, f_hat.shape);
  const Arena::Scope scope(*ctx.arena);
  const int64_t z = config_.z_channels;
  const View rest = ctx.arena->Alloc(f.shape, DType::kF32);
  const auto scales = static_cast<int64_t>(maps.size());
  int64_t begin = 0;
  for (int64_t scale = 0; scale < scales; ++scale) {
    const Arena::Scope inner(*ctx.arena);
    const MapSize& map = maps[static_cast<size_t>(scale)];
    if (scale > 0) {
      const std::array<Term, 2> difference = {{{1, f}, {-1, f_hat}}};
      LinearCombination(ctx, {.terms = difference, .out = rest});
    }
    const View small = ctx.arena->Alloc({f.shape[0], map.height, map.width, z}, DType::kF32);
    Resize(ctx,
           {.x = scale == 0 ? f : ConstView(rest), .resampling = Resampling::kArea, .out = small});
    const View found = tokens.Slice(1, begin, begin + map.tokens());
    for (int64_t b = 0; b < f.shape[0]; ++b) {
      NearestCode(ctx, {.z = ConstView(small).Slice(0, b, b + 1).Reshape({map.tokens(), z}),
                        .codebook = &search_,
                        .tokens = found.Slice(0, b, b + 1).Reshape({map.tokens()})});
    }
    AccumulateTokens(ctx, scale, scales, found, map, f_hat);
    if (ctx.tap != nullptr) {
      ctx.Show(fmt::format("f_hat_after_scale{}", scale), ConstView(f_hat).Permute({0, 3, 1, 2}));
    }
    begin += map.tokens();
  }
}

void Quantizer::Decode(Context& ctx, ConstView tokens, std::span<const MapSize> maps, View f_hat,
                       View inputs) const {
  CheckMaps(tokens, maps, f_hat);
  const int64_t batch = f_hat.shape[0];
  const int64_t z = config_.z_channels;
  const int64_t later = Tokens(maps.subspan(1));
  Require(inputs.empty() || inputs.shape == Shape({batch, later, z}), ErrorKind::kShape,
          "expected inputs [{}, {}, {}], got {}", batch, later, z, inputs.shape);
  const auto scales = static_cast<int64_t>(maps.size());
  int64_t begin = 0;
  for (int64_t scale = 0; scale < scales; ++scale) {
    const MapSize& map = maps[static_cast<size_t>(scale)];
    if (scale > 0 && !inputs.empty()) {
      const int64_t first = begin - maps.front().tokens();
      for (int64_t b = 0; b < batch; ++b) {
        const View rows = inputs.Slice(0, b, b + 1).Slice(1, first, first + map.tokens());
        NextInput(ctx, ConstView(f_hat).Slice(0, b, b + 1),
                  rows.Reshape({1, map.height, map.width, z}));
      }
    }
    AccumulateTokens(ctx, scale, scales, tokens.Slice(1, begin, begin + map.tokens()), map, f_hat);
    if (ctx.tap != nullptr) {
      ctx.Show(fmt::format("f_hat_dec_after_scale{}", scale),
               ConstView(f_hat).Permute({0, 3, 1, 2}));
    }
    begin += map.tokens();
  }
}

}  // namespace gesso::vqvae
