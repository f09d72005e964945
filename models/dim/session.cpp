#include "models/dim/session.h"

#include <algorithm>
#include <array>

#include "kernels/activation.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/resize.h"
#include "kernels/token.h"
#include "models/nn/sinusoid.h"

namespace gesso::dim {

namespace {

constexpr float kEps = 1e-5f;
constexpr int64_t kMaxSide = 1 << 14;

// Cell (row-major) of a grid that comes as number i in a scan order.
int64_t CellAt(int64_t order, int64_t i, int64_t height, int64_t width) {
  const int64_t step = order % 2 == 0 ? i : height * width - 1 - i;
  return order < 2 ? step : step % height * width + step / height;
}

void Copy(Context& ctx, ConstView x, View out) {
  const std::array<Term, 1> term = {{{1, x}}};
  LinearCombination(ctx, {.terms = term, .out = out});
}

void Add(Context& ctx, ConstView a, ConstView b, View out) {
  const std::array<Term, 2> sum = {{{1, a}, {1, b}}};
  LinearCombination(ctx, {.terms = sum, .out = out});
}

// Row b of [B, D].
template <class AnyView>
AnyView Row(AnyView rows, int64_t b) {
  return rows.Slice(0, b, b + 1);
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const Shape& pictures)
    : model_(std::move(model)), pictures_(pictures) {
  const Config& config = model_->config;
  Require(pictures.rank() == 4 && pictures[0] > 0 && pictures[1] == config.in_channels,
          ErrorKind::kShape, "pictures must be [B, {}, H, W], got {}", config.in_channels,
          pictures);
  Require(pictures[2] > 0 && pictures[3] > 0 && pictures[2] <= kMaxSide &&
              pictures[3] <= kMaxSide && pictures[2] % config.patch == 0 &&
              pictures[3] % config.patch == 0,
          ErrorKind::kUsage,
          "a map of {} x {} cannot be cut into tokens: width and height must be multiples of {}",
          pictures[3], pictures[2], config.patch);
  height_ = pictures[2] / config.patch;
  width_ = pictures[3] / config.patch;
  grid_height_ = height_ + config.pads;
  grid_width_ = width_ + config.pads;
  prefix_ = 2 + config.pads;
  positions_ = MakePositions();
  pads_ = MakePads();
  MakeOrders();
  time_ = Tensor::Unwritten({pictures[0], config.width}, DType::kF32);
  sinusoids_ = Tensor::Unwritten({pictures[0], model_->time_in.in_features()}, DType::kF32);
}

Shape Session::OutShape() const {
  return {pictures_[0], model_->config.out_channels, pictures_[2], pictures_[3]};
}

// The table of the model where it has as many tokens, otherwise resized.
Tensor Session::MakePositions() const {
  const int64_t side = model_->config.side;
  const int64_t features = model_->config.width;
  const ConstView learned = model_->positions.view().Slice(1, 2, 2 + side * side);
  if (side * side == height_ * width_) {
    return Cast(learned.Reshape({height_ * width_, features}), DType::kF32);
  }
  Tensor resized({height_ * width_, features}, DType::kF32);
  Context ctx;
  Resize(ctx, {.x = learned.Reshape({1, side, side, features}),
               .resampling = Resampling::kBilinear,
               .out = resized.mutable_view().Reshape({1, height_, width_, features})});
  return resized;
}

Tensor Session::MakePads() const {
  const int64_t pads = model_->config.pads;
  const int64_t features = model_->config.width;
  Tensor rows({2 * pads, features}, DType::kF32);
  float* to = std::copy_n(model_->pad_token_dec_split.Data<float>(), pads * features,
                          rows.MutableData<float>());
  for (int64_t i = 0; i < pads * features; ++i) {
    to[i] = model_->pad_token.Data<float>()[i % features * pads + i / features];
  }
  return rows;
}

// `ids` in every picture, each with a table of its own of `table_rows` rows.
Tensor Session::RowIds(std::span<const int64_t> ids, int64_t table_rows) const {
  const auto count = static_cast<int64_t>(ids.size());
  Tensor all({pictures_[0], count}, DType::kI32);
  for (int64_t i = 0; i < all.shape().numel(); ++i) {
    const int64_t id = i / count * table_rows + ids[static_cast<size_t>(i % count)];
    all.MutableData<int32_t>()[i] = static_cast<int32_t>(id);
  }
  return all;
}

void Session::MakeOrders() {
  const Config& config = model_->config;
  const int64_t cells = grid_height_ * grid_width_;
  // Embed's table: the picture's tokens, time, class, pads of the prefix, pads of the grid.
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < prefix_; ++i) ids.push_back(height_ * width_ + i);
  std::vector<int64_t> picture;
  int64_t padded = 0;
  for (int64_t cell = 0; cell < cells; ++cell) {
    const int64_t row = cell / grid_width_;
    const int64_t column = cell % grid_width_;
    if (row < height_ && column < width_) {
      ids.push_back(row * width_ + column);
      picture.push_back(prefix_ + cell);
      continue;
    }
    const int64_t lateral = row < height_ ? column - width_ : row - height_;
    const int64_t pad = config.padding == Padding::kLateral ? lateral : padded % config.pads;
    ++padded;
    ids.push_back(height_ * width_ + prefix_ + pad);
  }
  sequence_ids_ = RowIds(ids, height_ * width_ + prefix_ + config.pads);
  picture_ids_ = RowIds(picture, Length());

  std::array<std::vector<int64_t>, 4> places;  // of each cell, by order
  for (int64_t order = 0; order < 4; ++order) {
    std::vector<int64_t>& place = places[static_cast<size_t>(order)];
    place.resize(static_cast<size_t>(cells));
    for (int64_t i = 0; i < cells; ++i) {
      place[static_cast<size_t>(CellAt(order, i, grid_height_, grid_width_))] = prefix_ + i;
    }
  }
  int64_t before = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const int64_t order = config.ScanOrder(layer);
    for (int64_t i = 0; i < prefix_; ++i) ids[static_cast<size_t>(i)] = i;
    for (int64_t i = 0; i < cells; ++i) {
      const auto cell = static_cast<size_t>(CellAt(order, i, grid_height_, grid_width_));
      ids[static_cast<size_t>(prefix_ + i)] = places[static_cast<size_t>(before)][cell];
    }
    moves_.try_emplace({before, order}, RowIds(ids, Length()));
    before = order;
  }
}

void Session::TellDevice(const Context& ctx, std::span<const double> timesteps, ConstView classes) {
  const auto tell = [&](Tensor& rows) {
    const int64_t features = rows.shape()[1];
    numbers_.assign(static_cast<size_t>(rows.shape().numel()), 0.0f);
    for (size_t b = 0; b < timesteps.size(); ++b) {
      nn::AddSinusoids(timesteps[b], features / 2, nn::SinusoidOrder::kCosFirst,
                       numbers_.data() + b * static_cast<size_t>(features));
    }
    CopyFromHost(numbers_.data(), rows.mutable_view());
  };
  tell(time_);
  tell(sinusoids_);
  if (ctx.device == Device::kMeta || classes.data == classes_) return;
  replayer_.Forget();
  classes_ = classes.data;
}

Session::Condition Session::EmbedCondition(Context& ctx, ConstView classes) const {
  const int64_t batch = pictures_[0];
  const int64_t features = model_->config.width;
  const Condition condition = {.label = ctx.arena->Alloc({batch, features}, DType::kF32),
                               .adaln = ctx.arena->Alloc({batch, 3 * features}, DType::kF32)};
  GatherRows(ctx, {.table = model_->label_emb, .ids = classes, .out = condition.label});
  const Arena::Scope scope(*ctx.arena);
  const View hidden = ctx.arena->Alloc({batch, features}, DType::kF32);
  const View sum = ctx.arena->Alloc({batch, features}, DType::kF32);
  model_->time_in.Forward(ctx, sinusoids_, hidden, {}, Activation::kSilu);
  GatherRows(ctx, {.table = model_->class_embedder, .ids = classes, .out = sum});
  model_->time_out.Forward(ctx, hidden, sum, sum);
  Activate(ctx, {.x = sum, .activation = Activation::kSilu, .out = sum});
  model_->adaln.Forward(ctx, sum, condition.adaln);
  return condition;
}

// sequence [B, N, D], in order 0.
void Session::Embed(Context& ctx, ConstView x, const Condition& condition, View sequence) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t batch = pictures_[0];
  const int64_t features = model_->config.width;
  const int64_t tokens = height_ * width_;
  const int64_t rows = tokens + prefix_ + model_->config.pads;
  const View table = ctx.arena->Alloc({batch, rows, features}, DType::kF32);
  const View pixels =
      ctx.arena->Alloc({batch, pictures_[2], pictures_[3], pictures_[1]}, DType::kF32);
  const Shape map = {1, height_, width_, features};
  const View patches = ctx.arena->Alloc(map, DType::kF32);
  SpaceDepth(ctx, {.x = x.Permute({0, 2, 3, 1}), .block_h = 1, .block_w = 1, .out = pixels});
  const ConstView extra =
      model_->positions.view().Reshape({model_->positions.shape()[1], features});
  for (int64_t b = 0; b < batch; ++b) {
    const View own = table.Slice(0, b, b + 1).Reshape({rows, features});
    model_->patch_in.Forward(ctx, pixels.Slice(0, b, b + 1), patches,
                             positions_.view().Reshape(map));
    model_->first_smoother.Forward(ctx, patches, own.Slice(0, 0, tokens).Reshape(map));
    Add(ctx, Row(time_.view(), b), Row(extra, 0), Row(own, tokens));
    Add(ctx, Row(condition.label, b), Row(extra, 1), Row(own, tokens + 1));
    Copy(ctx, pads_, own.Slice(0, tokens + 2, rows));
  }
  GatherRows(
      ctx,
      {.table = table.Reshape({batch * rows, features}), .ids = sequence_ids_, .out = sequence});
}

void Session::Reorder(Context& ctx, int64_t from, int64_t to, ConstView x, View out) const {
  const Shape rows = {x.shape[0] * x.shape[1], x.shape[2]};
  if (from == to) return Copy(ctx, x, out);
  GatherRows(ctx, {.table = x.Reshape(rows), .ids = moves_.at({from, to}), .out = out});
}

// x += (1 + gate) mixer(norm(x) (1 + scale) + shift)
void Session::RunBlock(Context& ctx, const Block& block, ConstView adaln, View x) const {
  const Arena::Scope scope(*ctx.arena);
  const int64_t width = block.width;
  const View modulation = ctx.arena->Alloc(adaln.shape, DType::kF32);
  const View weight = ctx.arena->Alloc({adaln.shape[0], width}, DType::kF32);
  for (int64_t b = 0; b < adaln.shape[0]; ++b) {
    Add(ctx, Row(adaln, b), block.modulation, Row(modulation, b));
    GatedAdd(ctx, {.residual = {},
                   .x = Row(modulation, b).Slice(1, width, 2 * width).Reshape({1, 1, width}),
                   .gate = block.norm,
                   .out = Row(weight, b).Reshape({1, 1, width})});
  }
  const RmsNormArgs normed = {.x = x,
                              .scale = weight,
                              .scale_offset = 0,
                              .eps = kEps,
                              .out = ctx.arena->Alloc(x.shape, model_->activation),
                              .shift = modulation.Slice(1, 0, width)};
  const View mixed = ctx.arena->Alloc(x.shape, DType::kF32);
  block.mixer.Forward(ctx, model_->activation, normed, nullptr, mixed);
  GatedAdd(
      ctx,
      {.residual = x, .x = mixed, .gate = modulation.Slice(1, 2 * width, 3 * width), .out = x});
}

// The last block leaves its result in `sequence`, in order 0.
void Session::RunBlocks(Context& ctx, const Condition& condition, View sequence) const {
  const Arena::Scope scope(*ctx.arena);
  const Config& config = model_->config;
  std::array<View, 2> buffers = {sequence, ctx.arena->Alloc(sequence.shape, DType::kF32)};
  // [skips, B, N, D]: the results of the blocks whose skips are taken.
  const Shape& s = sequence.shape;
  const View skips =
      ctx.arena->Alloc({std::max<int64_t>(config.skips(), 1), s[0], s[1], s[2]}, DType::kF32);
  const auto skip = [&](int64_t i) { return skips.Slice(0, i, i + 1).Reshape(s); };
  View x = sequence;
  int64_t order = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const Block& block = model_->blocks[static_cast<size_t>(layer)];
    // What is not x: never a buffer that a later block reads.
    const auto other = [&] { return x.data == buffers[0].data ? buffers[1] : buffers[0]; };
    if (layer >= config.decoder_start()) {
      const int64_t i = layer - config.decoder_start();
      const View joined = other();
      block.skip.front().Forward(ctx, x, static_cast<float>(config.SkipFactor(i)),
                                 skip(config.skips() - 1 - i), joined);
      x = joined;
    }
    const int64_t stored = layer - config.encoder_start;
    const View next = stored >= 0 && stored < config.skips() ? skip(stored) : other();
    Reorder(ctx, order, config.ScanOrder(layer), x, next);
    order = config.ScanOrder(layer);
    x = next;
    RunBlock(ctx, block, condition.adaln, x);
    if (ctx.tap != nullptr) ctx.Show(fmt::format("block{}", layer), x);
  }
  if (x.data != sequence.data) Copy(ctx, x, sequence);
}

void Session::Project(Context& ctx, const Condition& condition, ConstView sequence,
                      View out) const {
  const Arena::Scope scope(*ctx.arena);
  const Config& config = model_->config;
  const int64_t batch = pictures_[0];
  const int64_t width = config.width;
  const Shape map = {batch, height_, width_, width};
  const Shape tokens = {batch, height_ * width_, width};
  const View picture = ctx.arena->Alloc(map, DType::kF32);
  const View smooth = ctx.arena->Alloc(map, DType::kF32);
  GatherRows(ctx, {.table = sequence.Reshape({batch * Length(), width}),
                   .ids = picture_ids_,
                   .out = picture.Reshape(tokens)});
  model_->last_smoother.Forward(ctx, picture, smooth);
  ctx.Show("final_tokens", smooth.Reshape(tokens));

  const View sum = ctx.arena->Alloc({batch, width}, DType::kF32);
  const View modulation = ctx.arena->Alloc({batch, 2 * width}, DType::kF32);
  const View weight = ctx.arena->Alloc({batch, width}, DType::kF32);
  Add(ctx, time_, condition.label, sum);
  Activate(ctx, {.x = sum, .activation = Activation::kSilu, .out = sum});
  model_->proj_out_1.Forward(ctx, sum, modulation);
  for (int64_t b = 0; b < batch; ++b) {  // norm_out (1 + scale)
    const ConstView norm = model_->norm_out.view().Reshape({1, 1, width});
    GatedAdd(ctx, {.residual = norm,
                   .x = Row(modulation, b).Slice(1, width, 2 * width).Reshape({1, 1, width}),
                   .gate = model_->norm_out,
                   .out = Row(weight, b).Reshape({1, 1, width})});
  }
  const RmsNormArgs normed = {.x = smooth.Reshape(tokens),
                              .scale = weight,
                              .scale_offset = 0,
                              .eps = kEps,
                              .out = smooth.Reshape(tokens),
                              .shift = modulation.Slice(1, 0, width)};
  const View patches = ctx.arena->Alloc(
      {batch, height_, width_, config.patch * config.patch * config.out_channels}, DType::kF32);
  model_->proj_out_2.Forward(ctx, normed, patches);
  SpaceDepth(ctx, {.x = patches,
                   .block_h = config.patch,
                   .block_w = config.patch,
                   .inverse = true,
                   .out = out.Permute({0, 2, 3, 1})});
}

void Session::Forward(Context& ctx, ConstView x, std::span<const double> timesteps,
                      ConstView classes, View out) {
  const int64_t batch = pictures_[0];
  Require(x.shape == pictures_ && out.shape == OutShape() &&
              static_cast<int64_t>(timesteps.size()) == batch && classes.shape == Shape({batch}),
          ErrorKind::kShape, "expected pictures {}, got x {}, {} timesteps, {} classes, out {}",
          pictures_, x.shape, timesteps.size(), classes.shape, out.shape);
  TellDevice(ctx, timesteps, classes);
  replayer_.Run(ctx, x, out, [&] { Compute(ctx, x, classes, out); });
}

void Session::Compute(Context& ctx, ConstView x, ConstView classes, View out) const {
  const Arena::Scope scope(*ctx.arena);
  const View sequence =
      ctx.arena->Alloc({pictures_[0], Length(), model_->config.width}, DType::kF32);
  const Condition condition = EmbedCondition(ctx, classes);
  Embed(ctx, x, condition, sequence);
  ctx.Show("seq_in", sequence);
  RunBlocks(ctx, condition, sequence);
  Project(ctx, condition, sequence, out);
}

size_t Session::ArenaBytes() {
  Arena arena(Device::kMeta, 0);
  Arena outside(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  const std::vector<double> timesteps(static_cast<size_t>(pictures_[0]), 1.0);
  Forward(ctx, outside.Alloc(pictures_, DType::kF32), timesteps,
          outside.Alloc({pictures_[0]}, DType::kI32), outside.Alloc(OutShape(), DType::kF32));
  return arena.peak_bytes();
}

}  // namespace gesso::dim
