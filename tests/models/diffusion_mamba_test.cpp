// DiM and the bidirectional Diffusion Mamba beyond their parity cases: memory, sizes, and what does
// not fit.
#include <algorithm>
#include <array>

#include "models/bidim/session.h"
#include "models/dim/session.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

const Json& DimJson() {
  static const Json json = Json::parse(R"({
      "num_attention_heads": 1, "attention_head_dim": 32, "num_layers": 5, "in_channels": 4,
      "sample_size": 8, "num_embeds_ada_norm": 10})");
  return json;
}

const Json& BidimJson() {
  static const Json json = Json::parse(R"({
      "hidden_size": 32, "depth": 2, "in_channels": 3, "num_classes": 4, "patch_size": [2, 2, 1],
      "scan_orders": ["spatial_first", "temporal_first"]})");
  return json;
}

// `conditioning` as the session takes it, for two pictures.
template <class Session, class Model, class Conditioning>
void ExpectTheArenaToDo(std::shared_ptr<const Model> model, const Shape& shape, int64_t channels,
                        const Conditioning& conditioning) {
  Session session(std::move(model), shape);
  const Tensor x = RandomTensor(shape, 2);
  Shape out_shape = shape;
  out_shape.Set(1, channels);
  Tensor out(out_shape, DType::kF32);
  const std::array<double, 2> times = {3, 500.5};
  const auto run = [&](size_t bytes) {
    Arena arena(Device::kCpu, bytes);
    Context ctx{.device = Device::kCpu, .arena = &arena};
    session.Forward(ctx, x, times, conditioning, out.mutable_view());
    EXPECT_EQ(arena.peak_bytes(), bytes);
  };
  run(session.ArenaBytes());
  ExpectError(ErrorKind::kMemory, "", [&] { run(session.ArenaBytes() - 64); });
}

std::shared_ptr<const dim::Model> SmallDim() {
  dim::Model shapes(dim::ParseConfig(DimJson()));
  return dim::Load(RandomWeights(shapes, 1), DimJson(), Device::kCpu, DType::kF32);
}

Json TextJson() {
  Json json = BidimJson();
  json.erase("num_classes");
  json["text"] = {{"dim", 8}};
  return json;
}

std::shared_ptr<const bidim::Model> SmallBidim(const Json& json = BidimJson()) {
  bidim::Model shapes(bidim::ParseConfig(json));
  return bidim::Load(RandomWeights(shapes, 1), json, Device::kCpu, DType::kF32);
}

TEST(Dim, TheArenaIsAsLargeAsSaid) {
  const Tensor classes({2}, DType::kI32);
  ExpectTheArenaToDo<dim::Session>(SmallDim(), {2, 4, 8, 12}, 4, classes);  // resized positions
}

// What a session tells the device stays there until the next pass.
TEST(Dim, APassKnowsItsOwnTimesAndClasses) {
  const Shape shape = {2, 4, 8, 8};
  const auto model = SmallDim();
  const Tensor x = RandomTensor(shape, 2);
  Tensor classes({2}, DType::kI32);
  Tensor others({2}, DType::kI32);
  std::fill_n(others.MutableData<int32_t>(), 2, 7);
  const auto run = [&](dim::Session& session, double time, const Tensor& ids) {
    Tensor out(shape, DType::kF32);
    Arena arena(Device::kCpu, session.ArenaBytes());
    Context ctx{.device = Device::kCpu, .arena = &arena};
    session.Forward(ctx, x, std::array{time, 2 * time}, ids, out.mutable_view());
    return out;
  };
  dim::Session session(model, shape);
  const Tensor first = run(session, 100, classes);
  dim::Session later(model, shape);
  const Tensor second = run(later, 300, others);
  EXPECT_GT(RmsError(first, second), 1e-3);
  EXPECT_TRUE(SameBits(run(session, 300, others), second));
  classes.MutableData<int32_t>()[0] = others.Data<int32_t>()[0];  // in place
  EXPECT_FALSE(SameBits(run(session, 100, classes), first));
}

TEST(Bidim, TheArenaIsAsLargeAsSaid) {
  const Tensor classes({2}, DType::kI32);
  bidim::Conditioning conditioning;
  conditioning.classes = classes;
  ExpectTheArenaToDo<bidim::Session>(SmallBidim(), {2, 3, 4, 6, 5}, 6, conditioning);
}

TEST(Bidim, TheArenaIsAsLargeAsSaidWithText) {
  const Tensor pooled = RandomTensor({2, 8}, 3);
  const Tensor context = RandomTensor({2, 32, 8}, 4);
  const Tensor mask({2, 32}, DType::kI32);
  const bidim::Conditioning conditioning = {
      .classes = {}, .pooled = pooled, .context = context, .context_mask = mask};
  ExpectTheArenaToDo<bidim::Session>(SmallBidim(TextJson()), {2, 3, 4, 6, 5}, 6, conditioning);
}

TEST(DiffusionMamba, NamesSizesThatDoNotFit) {
  ExpectError(ErrorKind::kUsage, "multiples of 2", [] { dim::Session(SmallDim(), {1, 4, 7, 8}); });
  ExpectError(ErrorKind::kUsage, "patches of 2 x 2 x 1", [] {
    bidim::Session(SmallBidim(), {1, 3, 3, 4, 4});
  });
  Json json = DimJson();
  json["num_layers"] = 4;
  ExpectError(ErrorKind::kConfig, "num_layers", [&] { dim::ParseConfig(json); });
  json = DimJson();
  json["encoder_start_blk_id"] = 2;
  ExpectError(ErrorKind::kConfig, "encoder_start_blk_id", [&] { dim::ParseConfig(json); });
  json = DimJson();
  json["is_freeu"] = true;
  ExpectError(ErrorKind::kUnsupported, "FreeU", [&] { dim::ParseConfig(json); });
}

}  // namespace
}  // namespace gesso
