// Infinity's tokenizer: configuration, the names that its checkpoints use, bits and codes by
// formula. Values of the whole: tests/pipelines/parity_test.cpp.
#include "models/bsq_vae/model.h"

#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::bsq_vae {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

Json SmallConfig() {
  return Json::parse(R"({"base_ch": 24, "codebook_dim": 8, "codebook_size": 256, "patch_size": 4,
                         "encoder_ch_mult": [1, 2, 1], "decoder_ch_mult": [1, 1, 2, 1],
                         "num_res_blocks": 1, "quantizer_type": "MultiScaleBSQ"})");
}

Weights SmallWeights() {
  Model shapes(ParseConfig(SmallConfig()));
  return RandomWeights(shapes, 5);
}

Tensor DecodedBy(const Weights& weights) {
  const auto model = Model::Load(weights, SmallConfig(), Device::kCpu, DType::kF32);
  const Tensor codes = RandomTensor({1, 3, 2, 8}, 1);
  Tensor picture({1, 3, 12, 8}, DType::kF32);
  Arena arena(Device::kCpu, model->DecodeArenaBytes(codes.shape()));
  Context ctx{.device = Device::kCpu, .arena = &arena};
  model->Decode(ctx, codes, picture.mutable_view());
  return picture;
}

TEST(BsqVae, TakesEveryNameThatCheckpointsUse) {
  const Weights official = SmallWeights();
  ASSERT_TRUE(official.tensors.contains("encoder.down.0.downsample.conv.conv.weight"));
  ASSERT_TRUE(official.tensors.contains("decoder.up.1.block.0.norm1.norm.bias"));
  const Tensor want = DecodedBy(official);
  Weights plain;
  Weights published;
  for (const auto& [name, tensor] : official.tensors) {
    std::string bare = name;
    for (const std::string wrapper : {".conv.weight", ".conv.bias", ".norm.weight", ".norm.bias"}) {
      if (name.ends_with(wrapper)) {
        bare = name.substr(0, name.size() - wrapper.size()) + wrapper.substr(5);
      }
    }
    plain.tensors[bare] = tensor;
    published.tensors["vae." + name] = tensor;
  }
  ASSERT_TRUE(plain.tensors.contains("encoder.down.0.downsample.conv.weight"));
  plain.tensors["quantize.lfq.mask"] = Tensor({8}, DType::kI64);
  published.tensors["vae.quantizer.lfq.mask"] = Tensor({8}, DType::kI64);
  published.tensors["discriminator.weight"] = RandomTensor({3}, 1);
  EXPECT_TRUE(SameBits(DecodedBy(plain), want));
  EXPECT_TRUE(SameBits(DecodedBy(published), want));
}

TEST(BsqVae, NamesTensorsThatDoNotFit) {
  const auto expect = [&](const char* part, const auto& change) {
    Weights weights = SmallWeights();
    change(weights);
    ExpectError(ErrorKind::kFormat, part,
                [&] { Model::Load(weights, SmallConfig(), Device::kCpu, DType::kF32); });
  };
  expect("missing: decoder.conv_in.conv.weight",
         [](Weights& weights) { weights.tensors.erase("decoder.conv_in.conv.weight"); });
  expect("unexpected: encoder.mid.attn_1.q.weight", [](Weights& weights) {
    weights.tensors["encoder.mid.attn_1.q.weight"] = RandomTensor({24, 24, 1, 1}, 1);
  });
  expect("encoder.conv_out.conv.weight: expected [8, 24, 3, 3], got [16, 24, 3, 3]",
         [](Weights& weights) {
           weights.tensors["encoder.conv_out.conv.weight"] = RandomTensor({16, 24, 3, 3}, 1);
         });
}

TEST(BsqVaeConfig, NamesTheField) {
  const auto expect = [](ErrorKind kind, const char* part, const Json& patch) {
    Json json = SmallConfig();
    json.merge_patch(patch);
    ExpectError(kind, part, [&] { Model{ParseConfig(json)}; });
  };
  expect(ErrorKind::kConfig, "codebook_dim", {{"codebook_dim", nullptr}});
  expect(ErrorKind::kConfig, "codebook_size 512 is not 2 to the power of codebook_dim 8",
         {{"codebook_size", 512}});
  expect(ErrorKind::kConfig, "patch_size 6 is no power of two", {{"patch_size", 6}});
  expect(ErrorKind::kConfig, "patch_size 8 needs 4 levels, 'encoder_ch_mult' has 3",
         {{"patch_size", 8}});
  expect(ErrorKind::kConfig, "decoder_ch_mult", {{"decoder_ch_mult", Json::array()}});
  expect(ErrorKind::kConfig, "40 channels (base 40) are no multiple of 32 or 24",
         {{"base_ch", 40}});
  expect(ErrorKind::kUnsupported, "quantizer_type 'MultiScaleLFQ'",
         {{"quantizer_type", "MultiScaleLFQ"}});
  expect(ErrorKind::kUnsupported, "cnn_type '3d'", {{"cnn_type", "3d"}});
  expect(ErrorKind::kUnsupported, "use_vae = true", {{"use_vae", true}});
  Json large = SmallConfig();
  large["codebook_dim"] = 64;
  large["codebook_size"] = 18446744073709551616.0;
  EXPECT_EQ(ParseConfig(large).codebook_dim, 64);
}

TEST(BsqVaeConfig, SchedulesAreLists) {
  const Json json = Json::parse(R"({"good": [[1, 1, 1], [1, 3, 2]], "time": [[2, 1, 1]],
                                    "flat": [1, 1], "none": []})");
  EXPECT_EQ(ParseSchedule(json, "good"), (std::vector<MapSize>{{1, 1}, {3, 2}}));
  ExpectError(ErrorKind::kConfig, "time[0][0]", [&] { ParseSchedule(json, "time"); });
  ExpectError(ErrorKind::kConfig, "flat[0] is not [t, h, w]", [&] { ParseSchedule(json, "flat"); });
  ExpectError(ErrorKind::kConfig, "none", [&] { ParseSchedule(json, "none"); });
}

TEST(Bits, AreTheSignsOfWhatIsLeft) {
  Arena arena(Device::kCpu, 1 << 20);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  // One row of two pixels, four channels: means 1, -1, 0, 3 give codes +-0.5.
  Tensor h({1, 1, 2, 4}, DType::kF32);
  const float values[] = {0, -3, 0.25f, 3, 2, 1, -0.25f, 3};
  std::copy_n(values, 8, h.MutableData<float>());
  Tensor coarse({1, 1, 1, 4}, DType::kU8);
  Tensor fine({1, 1, 2, 4}, DType::kU8);
  Tensor summed(h.shape(), DType::kF32);
  const std::vector<View> bits = {coarse.mutable_view(), fine.mutable_view()};
  EncodeBits(ctx, h, bits, summed.mutable_view());
  const uint8_t want_coarse[] = {1, 0, 0, 1};
  const uint8_t want_fine[] = {0, 0, 1, 1, 1, 1, 1, 1};
  const float want_sum[] = {0, -1, 0, 1, 1, 0, 0, 1};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(coarse.Data<uint8_t>()[i], want_coarse[i]) << i;
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(fine.Data<uint8_t>()[i], want_fine[i]) << i;
  for (size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(summed.Data<float>()[i], want_sum[i]) << i;
  Tensor rebuilt(h.shape(), DType::kF32);
  DecodeBits(ctx, std::vector<ConstView>{coarse, fine}, rebuilt.mutable_view());
  EXPECT_TRUE(SameBits(rebuilt, summed));
}

TEST(Bits, RefuseMapsThatDoNotFit) {
  Arena arena(Device::kCpu, 1 << 20);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  const Tensor h({1, 2, 2, 4}, DType::kF32);
  Tensor summed(h.shape(), DType::kF32);
  Tensor bits({1, 1, 1, 4}, DType::kU8);
  const std::vector<View> maps = {bits.mutable_view()};
  ExpectError(ErrorKind::kShape, "the last bits must be like h [1, 2, 2, 4]",
              [&] { EncodeBits(ctx, h, maps, summed.mutable_view()); });
  const Tensor wide({1, 1, 1, 3}, DType::kU8);
  ExpectError(ErrorKind::kShape, "expected uint8 bits",
              [&] { AccumulateBits(ctx, true, wide, summed.mutable_view()); });
}

TEST(PixelShuffle, HasTheOrderOfTorch) {
  Context ctx;
  Tensor map({1, 4, 6, 3}, DType::kF32);
  for (int64_t i = 0; i < 72; ++i) map.MutableData<float>()[i] = static_cast<float>(i);
  Tensor tokens({1, 2, 3, 12}, DType::kF32);
  PixelUnshuffle(ctx, map, tokens.mutable_view());
  for (int64_t i = 0; i < 72; ++i) {
    const int64_t c = i % 12 / 4;
    const int64_t dy = i % 4 / 2;
    const int64_t dx = i % 2;
    const int64_t x = i / 12 % 3;
    const int64_t y = i / 36;
    EXPECT_EQ(tokens.Data<float>()[i], static_cast<float>(((2 * y + dy) * 6 + 2 * x + dx) * 3 + c));
  }
  Tensor back(map.shape(), DType::kF32);
  PixelShuffle(ctx, tokens, back.mutable_view());
  EXPECT_TRUE(SameBits(back, map));
  Tensor odd({1, 2, 3, 11}, DType::kF32);
  ExpectError(ErrorKind::kShape, "does not fit tokens",
              [&] { PixelUnshuffle(ctx, map, odd.mutable_view()); });
}

}  // namespace
}  // namespace gesso::bsq_vae
