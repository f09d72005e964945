// VAR's tokenizer: configuration, checkpoints that do not fit, the quantiser's parts by formula.
// Values of the whole: tests/pipelines/parity_test.cpp.
#include "models/vqvae/model.h"

#include <numeric>

#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::vqvae {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

Json SmallConfig() {
  return Json::parse(R"({"vocab_size": 40, "z_channels": 6, "ch": 32, "ch_mult": [1, 2, 1],
                         "num_res_blocks": 1, "v_patch_nums": [1, 2, 4], "share_quant_resi": 4})");
}

Weights SmallWeights(const Json& config) {
  Model shapes(ParseConfig(config));
  return RandomWeights(shapes, 5);
}

std::shared_ptr<const Model> Small(const Json& config) {
  return Model::Load(SmallWeights(config), ParseConfig(config), Device::kCpu, DType::kF32);
}

Quantizer RandomQuantizer(const Json& patch) {
  Json json = SmallConfig();
  json.merge_patch(patch);
  Quantizer quantizer(ParseQuantizerConfig(json));
  const Weights weights = RandomWeights(quantizer, 7);
  nn::LoadWeights(quantizer, weights, Device::kCpu, DType::kF32);
  quantizer.Pack(Device::kCpu);
  return quantizer;
}

// A context with an arena of its own.
struct Workspace {
  Arena arena{Device::kCpu, 64 << 20};
  Context ctx{.device = Device::kCpu, .arena = &arena};
};

TEST(PhiIndex, IsTheRecordedOne) {
  const Quantizer four = RandomQuantizer({{"share_quant_resi", 4}});
  // What numpy gives for ticks linspace(1/12, 11/12, 4) and scales at i / (S - 1).
  const std::vector<std::vector<int64_t>> recorded = {{0, 3},
                                                      {0, 2, 3},
                                                      {0, 1, 2, 3},
                                                      {0, 1, 2, 2, 3},
                                                      {0, 0, 1, 2, 3, 3},
                                                      {0, 0, 1, 2, 2, 3, 3},
                                                      {0, 0, 1, 1, 2, 2, 3, 3},
                                                      {0, 0, 1, 1, 2, 2, 2, 3, 3},
                                                      {0, 0, 1, 1, 1, 2, 2, 3, 3, 3},
                                                      {0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3},
                                                      {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3},
                                                      {0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3},
                                                      {0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3}};
  for (const std::vector<int64_t>& indices : recorded) {
    const auto scales = static_cast<int64_t>(indices.size());
    for (int64_t scale = 0; scale < scales; ++scale) {
      EXPECT_EQ(four.PhiIndex(scale, scales), indices[static_cast<size_t>(scale)])
          << scale << " of " << scales;
    }
  }
}

TEST(PhiIndex, SharedByAllOrByNone) {
  const Quantizer one = RandomQuantizer({{"share_quant_resi", 1}});
  EXPECT_EQ(one.PhiIndex(2, 3), 0);
  const Quantizer each = RandomQuantizer({{"share_quant_resi", 0}});
  for (int64_t scale = 0; scale < 3; ++scale) EXPECT_EQ(each.PhiIndex(scale, 3), scale);
}

TEST(Quantizer, NamesItsPhisAsTheOfficialCodeDoes) {
  const auto names = [](const Json& patch) {
    Json json = SmallConfig();
    json.merge_patch(patch);
    Quantizer quantizer(ParseQuantizerConfig(json));
    nn::ShapeCollector collector;
    quantizer.Visit(collector, "quantize.");
    return collector.shapes();
  };
  EXPECT_TRUE(names({{"share_quant_resi", 4}}).contains("quantize.quant_resi.qresi_ls.3.weight"));
  EXPECT_TRUE(names({{"share_quant_resi", 1}}).contains("quantize.quant_resi.qresi.bias"));
  EXPECT_TRUE(names({{"share_quant_resi", 0}}).contains("quantize.quant_resi.2.weight"));
  EXPECT_EQ(names({{"share_quant_resi", 0}, {"default_qresi_counts", 10}}).size(), 1u + 20);
  EXPECT_EQ(names({{"quant_resi", 0}}).size(), 1u);
}

// phi of the codes' picture by its definition, at full size.
TEST(Quantizer, AccumulatesPhiOfTheCodes) {
  Workspace work;
  Json json = SmallConfig();
  json.merge_patch({{"share_quant_resi", 1}, {"quant_resi", -0.25}});
  Quantizer quantizer(ParseQuantizerConfig(json));
  const Weights weights = RandomWeights(quantizer, 3);
  nn::LoadWeights(quantizer, weights, Device::kCpu, DType::kF32);
  quantizer.Pack(Device::kCpu);
  const Tensor codes = RandomTensor({2, 3, 5, 6}, 1);
  const Tensor before = RandomTensor({2, 3, 5, 6}, 2);
  Tensor f_hat = Cast(before, DType::kF32);
  quantizer.Accumulate(work.ctx, 1, 3, codes, f_hat.mutable_view());
  const float* taps = weights.At("quant_resi.qresi.weight").Data<float>();
  const float* bias = weights.At("quant_resi.qresi.bias").Data<float>();
  Tensor want(codes.shape(), DType::kF32);
  for (int64_t i = 0; i < codes.shape().numel(); ++i) {
    const int64_t o = i % 6;
    const int64_t x = i / 6 % 5;
    const int64_t y = i / 30 % 3;
    const int64_t b = i / 90;
    double sum = static_cast<double>(bias[o]);
    for (int64_t t = 0; t < 9 * 6; ++t) {
      const int64_t row = y + t / 3 % 3 - 1;
      const int64_t column = x + t % 3 - 1;
      if (row < 0 || row >= 3 || column < 0 || column >= 5) continue;
      const float code = codes.Data<float>()[((b * 3 + row) * 5 + column) * 6 + t / 9];
      sum += static_cast<double>(taps[o * 54 + t]) * static_cast<double>(code);
    }
    want.MutableData<float>()[i] =
        static_cast<float>(static_cast<double>(before.Data<float>()[i]) +
                           0.75 * static_cast<double>(codes.Data<float>()[i]) + 0.25 * sum);
  }
  EXPECT_LT(RmsError(f_hat, want), 1e-6);
}

TEST(Quantizer, FirstScaleNeedsNoZeros) {
  Workspace work;
  for (const double quant_resi : {0.0, 0.5}) {
    const Quantizer quantizer = RandomQuantizer({{"quant_resi", quant_resi}});
    const Tensor codes = RandomTensor({1, 1, 1, 6}, 1);
    Tensor zeros({1, 4, 4, 6}, DType::kF32);
    Tensor garbage({1, 4, 4, 6}, DType::kF32);
    for (int64_t i = 0; i < 96; ++i) garbage.MutableData<float>()[i] = NAN;
    quantizer.Accumulate(work.ctx, 0, 3, codes, zeros.mutable_view());
    quantizer.Accumulate(work.ctx, 0, 3, codes, garbage.mutable_view());
    EXPECT_TRUE(SameBits(zeros, garbage)) << quant_resi;
  }
}

TEST(Quantizer, WorksOnRectangles) {
  Workspace work;
  const Quantizer quantizer =
      RandomQuantizer({{"v_patch_nums", Json::parse("[[1, 2], [3, 2], [6, 4]]")}});
  const std::vector<MapSize>& maps = quantizer.config().Maps();
  EXPECT_EQ(maps, (std::vector<MapSize>{{1, 2}, {3, 2}, {6, 4}}));
  EXPECT_EQ(quantizer.config().tokens(), 32);
  const Tensor f = RandomTensor({2, 6, 4, 6}, 1);
  Tensor tokens({2, 32}, DType::kI32);
  Tensor f_hat(f.shape(), DType::kF32);
  quantizer.Encode(work.ctx, f, maps, tokens.mutable_view(), f_hat.mutable_view());
  Tensor decoded(f.shape(), DType::kF32);
  Tensor inputs({2, 30, 6}, DType::kF32);
  quantizer.Decode(work.ctx, tokens, maps, decoded.mutable_view(), inputs.mutable_view());
  EXPECT_TRUE(SameBits(f_hat, decoded));
  // The input of scale 2 has the size of f_hat: it is f_hat after scale 1.
  Tensor partial(f.shape(), DType::kF32);
  const View sum = partial.mutable_view();
  quantizer.AccumulateTokens(work.ctx, 0, 3, tokens.view().Slice(1, 0, 2), maps[0], sum);
  quantizer.AccumulateTokens(work.ctx, 1, 3, tokens.view().Slice(1, 2, 8), maps[1], sum);
  EXPECT_TRUE(SameBits(Cast(inputs.view().Slice(1, 6, 30), DType::kF32).view().Reshape(f.shape()),
                       partial));
}

TEST(Quantizer, NearestByAngle) {
  Workspace work;
  const Quantizer quantizer = RandomQuantizer({{"using_znorm", true}});
  const Tensor f = RandomTensor({1, 2, 2, 6}, 9);
  Tensor tokens({1, 4}, DType::kI32);
  Tensor f_hat(f.shape(), DType::kF32);
  const std::vector<MapSize> maps = {{2, 2}};
  quantizer.Encode(work.ctx, f, maps, tokens.mutable_view(), f_hat.mutable_view());
  const float* codes = quantizer.codebook().Data<float>();
  for (int64_t i = 0; i < 4; ++i) {
    const float* z = f.Data<float>() + 6 * i;
    int32_t nearest = 0;
    double best = -2;
    for (int32_t v = 0; v < 40; ++v) {
      const float* code = codes + 6 * v;
      const double product = std::inner_product(z, z + 6, code, 0.0);
      const double cosine = product / std::sqrt(std::inner_product(code, code + 6, code, 0.0));
      if (cosine > best) nearest = v;
      best = std::max(best, cosine);
    }
    EXPECT_EQ(tokens.Data<int32_t>()[i], nearest);
  }
}

TEST(Quantizer, RefusesTokensThatDoNotFit) {
  Workspace work;
  const Quantizer quantizer = RandomQuantizer(Json::object());
  const std::vector<MapSize> maps = quantizer.config().Maps();
  Tensor f_hat({1, 4, 4, 6}, DType::kF32);
  Tensor tokens({1, 21}, DType::kI32);
  tokens.MutableData<int32_t>()[20] = 40;
  ExpectError(ErrorKind::kShape, "id 40",
              [&] { quantizer.Decode(work.ctx, tokens, maps, f_hat.mutable_view()); });
  const Tensor few({1, 20}, DType::kI32);
  ExpectError(ErrorKind::kShape, "expected int32 tokens [1, 21] for 3 scales",
              [&] { quantizer.Decode(work.ctx, few, maps, f_hat.mutable_view()); });
  const Tensor f({1, 5, 4, 6}, DType::kF32);
  Tensor f_hat5(f.shape(), DType::kF32);
  ExpectError(ErrorKind::kShape, "the last token map is 4 x 4", [&] {
    quantizer.Encode(work.ctx, f, maps, tokens.mutable_view(), f_hat5.mutable_view());
  });
  Tensor inputs({1, 19, 6}, DType::kF32);
  ExpectError(ErrorKind::kShape, "expected inputs [1, 20, 6]", [&] {
    quantizer.Decode(work.ctx, tokens, maps, f_hat.mutable_view(), inputs.mutable_view());
  });
}

TEST(VqvaeConfig, NamesTheField) {
  const auto expect = [](const char* part, const Json& patch) {
    Json json = SmallConfig();
    json.merge_patch(patch);
    ExpectError(ErrorKind::kConfig, part, [&] { Model{ParseConfig(json)}; });
  };
  expect("vocab_size", {{"vocab_size", 0}});
  expect("z_channels", {{"z_channels", 1e300}});
  expect("ch_mult", {{"ch_mult", Json::array()}});
  expect("ch_mult[1]", {{"ch_mult", {1, -1}}});
  expect("v_patch_nums", {{"v_patch_nums", {4, 2}}});
  expect("v_patch_nums[0]", {{"v_patch_nums", {0, 2}}});
  expect("v_patch_nums[1]' is neither a side nor [h, w]",
         {{"v_patch_nums", Json::parse("[1, [2, 3, 4]]")}});
  expect("v_patch_nums[1][0]", {{"v_patch_nums", Json::parse("[1, [-1, 3]]")}});
  expect("ascending", {{"v_patch_nums", Json::parse("[1, [2, 4], [4, 3]]")}});
  expect("quant_conv_ks 4 is not odd", {{"quant_conv_ks", 4}});
  expect("share_quant_resi", {{"share_quant_resi", -1}});
  expect("quant_resi", {{"quant_resi", 2}});
  expect("48 channels (base 48) are no multiple of 32", {{"ch", 48}});
  ExpectError(ErrorKind::kConfig, "JSON object", [] { ParseConfig(Json(3)); });
}

TEST(Vqvae, NamesTensorsThatDoNotFit) {
  const Json config = SmallConfig();
  const auto expect = [&](const char* part, const auto& change) {
    Weights weights = SmallWeights(config);
    change(weights);
    ExpectError(ErrorKind::kFormat, part,
                [&] { Model::Load(weights, ParseConfig(config), Device::kCpu, DType::kF32); });
  };
  expect("quantize.embedding.weight: expected [40, 6], got [64, 6]", [](Weights& weights) {
    weights.tensors["quantize.embedding.weight"] = RandomTensor({64, 6}, 1);
  });
  expect("missing: decoder.up.2.attn.1.qkv.weight",
         [](Weights& weights) { weights.tensors.erase("decoder.up.2.attn.1.qkv.weight"); });
  expect("unexpected: quantize.quant_resi.qresi_ls.4.weight", [](Weights& weights) {
    weights.tensors["quantize.quant_resi.qresi_ls.4.weight"] = RandomTensor({6, 6, 3, 3}, 1);
  });
  expect("quant_conv.weight: expected [6, 6, 3, 3], got [6, 6, 1, 1]", [](Weights& weights) {
    weights.tensors["quant_conv.weight"] = RandomTensor({6, 6, 1, 1}, 1);
  });
  expect("encoder.conv_in.weight: holds NaN", [](Weights& weights) {
    weights.tensors["encoder.conv_in.weight"].MutableData<float>()[3] = NAN;
  });
}

TEST(Vqvae, LeavesStatisticsAside) {
  const Json config = SmallConfig();
  Weights weights = SmallWeights(config);
  weights.tensors["quantize.ema_vocab_hit_SV"] = RandomTensor({3, 40}, 1);
  EXPECT_NO_THROW(Model::Load(weights, ParseConfig(config), Device::kCpu, DType::kF32));
}

TEST(Vqvae, RefusesPicturesThatDoNotHalve) {
  Workspace work;
  const auto model = Small(SmallConfig());
  EXPECT_EQ(model->LatentSize(16, 8), (MapSize{4, 2}));
  ExpectError(ErrorKind::kUsage,
              "a 6 x 8 picture has no whole latents: width and height must be "
              "multiples of 4",
              [&] { model->LatentSize(8, 6); });
  const Tensor gray({1, 1, 8, 8}, DType::kF32);
  Tensor f({1, 2, 2, 6}, DType::kF32);
  ExpectError(ErrorKind::kShape, "expected a picture [B, 3, H, W], got [1, 1, 8, 8]",
              [&] { model->Encode(work.ctx, gray, f.mutable_view()); });
}

TEST(Vqvae, NeedsTheArenaThatItAsksForInEveryPrecision) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto model =
        Model::Load(SmallWeights(SmallConfig()), ParseConfig(SmallConfig()), Device::kCpu, dtype);
    const Tensor picture = RandomTensor({2, 3, 16, 24}, 1);
    Tensor f({2, 4, 6, 6}, DType::kF32);
    Tensor decoded(picture.shape(), DType::kF32);
    Arena for_encoding(Device::kCpu, model->EncodeArenaBytes(picture.shape()));
    Context ctx{.device = Device::kCpu, .arena = &for_encoding};
    model->Encode(ctx, picture, f.mutable_view());
    Arena for_decoding(Device::kCpu, model->DecodeArenaBytes(f.shape()));
    ctx.arena = &for_decoding;
    model->Decode(ctx, f, decoded.mutable_view());
    for (int64_t i = 0; i < decoded.shape().numel(); ++i) {
      EXPECT_LE(std::abs(decoded.Data<float>()[i]), 1);
    }
    EXPECT_EQ(for_decoding.peak_bytes(), for_decoding.capacity_bytes());
  }
}

}  // namespace
}  // namespace gesso::vqvae
