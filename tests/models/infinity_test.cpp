// Infinity beyond its parity cases: the published schedules, which checkpoints and tokenizers fit,
// and what must not change the result.
#include "models/infinity/session.h"

#include <gmock/gmock.h>

#include <cmath>

#include "models/infinity/checkpoint.h"
#include "models/infinity/codes.h"
#include "models/infinity/schedule.h"
#include "models/nn/load.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::infinity {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

TEST(InfinitySchedule, HasThePublishedSizes) {
  const ScheduleTemplate& square = FindScheduleTemplate(1, 1);
  const std::vector<std::pair<const char*, int64_t>> sizes = {
      {"0.06M", 521}, {"0.25M", 2521}, {"0.60M", 6425}, {"1M", 10521}};
  for (const auto& [pn, want] : sizes) {
    int64_t tokens = 0;
    for (const TokenMap& map : ScheduleMaps(square, pn)) tokens += map.tokens();
    EXPECT_EQ(tokens, want) << pn;
  }
  EXPECT_EQ(ScheduleTemplates().size(), 15u);
  for (const ScheduleTemplate& schedule : ScheduleTemplates()) {
    EXPECT_EQ(schedule.maps.size(), 13u);
    EXPECT_EQ(schedule.maps.front(), TokenMap{});
    for (const auto& [pn, tokens] : sizes) {
      const TokenMap& last = ScheduleMaps(schedule, pn).back();
      EXPECT_NEAR(static_cast<double>(last.height) / static_cast<double>(last.width),
                  schedule.h_div_w, 0.01);
    }
    for (size_t i = 1; i < schedule.maps.size(); ++i) {
      EXPECT_GE(schedule.maps[i].height, schedule.maps[i - 1].height);
      EXPECT_GE(schedule.maps[i].width, schedule.maps[i - 1].width);
      EXPECT_GT(schedule.maps[i].tokens(), schedule.maps[i - 1].tokens());
    }
  }
}

TEST(InfinitySchedule, TheNearestTemplateIsTaken) {
  const auto key = [](double height, double width) {
    return FindScheduleTemplate(height, width).h_div_w;
  };
  EXPECT_EQ(key(1024, 1024), 1);
  EXPECT_EQ(key(1344, 768), 1.75);
  EXPECT_EQ(key(768, 1344), 0.571);
  EXPECT_EQ(key(1000, 1100), 1);
  EXPECT_EQ(key(1000, 1120), 0.8);
  EXPECT_EQ(key(300, 100), 3);
  EXPECT_EQ(key(100, 300), 0.333);
  const TokenMap wide = FindScheduleTemplate(512, 1024).maps[3];
  EXPECT_EQ(wide, (TokenMap{3, 6}));
}

TEST(InfinitySchedule, SaysWhatLiesOutsideTheTables) {
  ExpectError(ErrorKind::kUsage, "1024 x 320 (width x height) is no aspect ratio of Infinity's",
              [] { FindScheduleTemplate(320, 1024); });
  ExpectError(ErrorKind::kUsage, "between 1:3 and 3:1", [] { FindScheduleTemplate(400, 100); });
  ExpectError(ErrorKind::kUsage, "between 1:3 and 3:1", [] { FindScheduleTemplate(0, 0); });
  ExpectError(ErrorKind::kUsage, "pn '2M' is not one of Infinity's sizes",
              [] { ScheduleMaps(ScheduleTemplates().front(), "2M"); });
}

TEST(InfinityRotary, RoundsHalfToEvenOnTheLastMapsGrid) {
  const std::vector<TokenMap> maps = {{1, 1}, {4, 2}};
  const Rotary rotary = MakeRotary(maps, {90, 45}, 16);
  ASSERT_EQ(rotary.cos.shape(), Shape({9, 8}));
  // 22.5, 45 and 67.5 of 90 rows, 22.5 of 45 columns.
  const double rows[4] = {0, 22, 45, 68};
  const double columns[2] = {0, 22};
  for (int64_t token = 0; token < 8; ++token) {
    for (int64_t j = 0; j < 8; ++j) {
      const double position = j < 4 ? rows[token / 2] : columns[token % 2];
      const double angle = position * std::pow(10000.0, -static_cast<double>(j % 4) / 4);
      const int64_t at = (1 + token) * 8 + j;
      EXPECT_NEAR(rotary.cos.Data<float>()[at], std::cos(angle), 1e-6);
      EXPECT_NEAR(rotary.sin.Data<float>()[at], std::sin(angle), 1e-6);
    }
  }
}

Json SmallConfig(const Json& patch = Json::object()) {
  Json json = {{"depth", 4},     {"embed_dim", 32},   {"num_heads", 2},       {"block_chunks", 2},
               {"mlp_ratio", 8}, {"codebook_dim", 3}, {"text_channels", 256}, {"text_maxlen", 6}};
  json.merge_patch(patch);
  return json;
}

Weights SmallWeights(const Json& json) {
  Model shapes(ParseConfig(json));
  Weights weights = RandomWeights(shapes, 7);
  // Biases and offsets of a size that leaves the input visible.
  for (auto& [name, tensor] : weights.tensors) {
    if (tensor.shape().rank() == 2) continue;
    for (int64_t i = 0; i < tensor.shape().numel(); ++i) tensor.MutableData<float>()[i] *= 0.3F;
  }
  return weights;
}

std::shared_ptr<const Model> SmallModel(const Json& patch = Json::object()) {
  const Json json = SmallConfig(patch);
  return Load(SmallWeights(json), ParseConfig(json), Device::kCpu, DType::kF32);
}

TEST(InfinityConfig, NamesTheFieldOrTheVariant) {
  const auto expect = [](ErrorKind kind, const std::string& part, const Json& patch) {
    ExpectError(kind, part, [&] { ParseConfig(SmallConfig(patch)); });
  };
  expect(ErrorKind::kConfig, "depth", {{"depth", 0}});
  expect(ErrorKind::kConfig, "num_heads 3 does not divide", {{"num_heads", 3}});
  expect(ErrorKind::kConfig, "a multiple of 4", {{"num_heads", 16}});
  expect(ErrorKind::kConfig, "block_chunks 3 does not divide", {{"block_chunks", 3}});
  expect(ErrorKind::kConfig, "pooling heads", {{"text_channels", 100}});
  expect(ErrorKind::kConfig, "mlp_ratio", {{"mlp_ratio", -1}});
  expect(ErrorKind::kUnsupported, "block_chunks 1", {{"block_chunks", 1}});
  expect(ErrorKind::kUnsupported, "use_bit_label 0", {{"use_bit_label", 0}});
  expect(ErrorKind::kUnsupported, "swiglu", {{"swiglu", true}});
  expect(ErrorKind::kUnsupported, "rope2d_normalized_by_hw", {{"rope2d_normalized_by_hw", 0}});
  ExpectError(ErrorKind::kConfig, "JSON object", [] { ParseConfig(Json(3)); });
}

TEST(InfinityConfig, HiddenFeaturesAreMultiplesOf256) {
  EXPECT_EQ(FeedForwardWidth(Json::object(), 2048), 8192);
  EXPECT_EQ(FeedForwardWidth({{"mlp_ratio", 4}}, 80), 256);   // 1.25 of them
  EXPECT_EQ(FeedForwardWidth({{"mlp_ratio", 12}}, 32), 512);  // 1.5, to even
  EXPECT_EQ(FeedForwardWidth({{"mlp_ratio", 20}}, 32), 512);  // 2.5, to even
  EXPECT_EQ(FeedForwardWidth({{"mlp_ratio", 4}}, 32), 32);    // 0.5, to none
}

TEST(InfinityConfig, IsFoundInTheCheckpoint) {
  for (const int patchify : {0, 1}) {
    const Json json = SmallConfig({{"depth", 8},
                                   {"block_chunks", 4},
                                   {"apply_spatial_patchify", patchify},
                                   {"cross_attn_layer_scale", 0.1}});
    const Config want = ParseConfig(json);
    const Config got = InferConfig(SmallWeights(json), 3);
    EXPECT_EQ(got.depth, want.depth);
    EXPECT_EQ(got.block_chunks, want.block_chunks);
    EXPECT_EQ(got.embed_dim, want.embed_dim);
    EXPECT_EQ(got.num_heads, want.num_heads);
    EXPECT_EQ(got.ff_width, want.ff_width);
    EXPECT_EQ(got.bits(), want.bits());
    EXPECT_EQ(got.spatial_patchify, want.spatial_patchify);
    EXPECT_EQ(got.text_channels, want.text_channels);
    EXPECT_EQ(got.text_maxlen, want.text_maxlen);
    EXPECT_EQ(got.ca_gamma, want.ca_gamma);
    EXPECT_EQ(got.BlockName(3), "block_chunks.1.module.1.");
  }
}

TEST(InfinityConfig, ThePublishedModelsHaveTheirNamesAndShapes) {
  const auto shapes_of = [](const Json& json) {
    Model model(ParseConfig(json));
    nn::ShapeCollector collector;
    model.Visit(collector, "");
    return collector;
  };
  const auto small = shapes_of({{"depth", 32},
                                {"embed_dim", 2048},
                                {"num_heads", 16},
                                {"block_chunks", 8},
                                {"codebook_dim", 32},
                                {"text_channels", 2048},
                                {"text_maxlen", 512}});
  const std::vector<std::pair<std::string, Shape>> of_2b = {
      {"cfg_uncond", {512, 2048}},
      {"lvl_embed.weight", {15, 2048}},
      {"text_proj_for_sos.ca.mat_q", {1, 16, 128}},
      {"text_proj_for_sos.ca.mat_kv.weight", {4096, 2048}},
      {"word_embed.weight", {2048, 32}},
      {"head.weight", {64, 2048}},
      {"head_nm.ada_lin.1.weight", {4096, 2048}},
      {"shared_ada_lin.1.bias", {12288}},
      {"block_chunks.7.module.3.ada_gss", {1, 1, 6, 2048}},
      {"block_chunks.7.module.3.sa.scale_mul_1H11", {1, 16, 1, 1}},
      {"block_chunks.7.module.3.ca.mat_kv.weight", {4096, 2048}},
      {"block_chunks.7.module.3.ca_norm.bias", {2048}},
      {"block_chunks.7.module.3.ffn.fc1.weight", {8192, 2048}}};
  for (const auto& [name, shape] : of_2b) {
    ASSERT_TRUE(small.shapes().contains(name)) << name;
    EXPECT_EQ(small.shapes().at(name), shape) << name;
  }
  // Matrices of C x C: 16 a block, 8 of adaLN, 3 of the pooling, 2 of the text's states.
  EXPECT_NEAR(static_cast<double>(small.parameters()), (32.0 * 16 + 13) * 2048 * 2048, 3e6);
  const auto large = shapes_of({{"depth", 40},
                                {"embed_dim", 3584},
                                {"num_heads", 28},
                                {"block_chunks", 8},
                                {"codebook_dim", 14},
                                {"apply_spatial_patchify", 1},
                                {"text_channels", 2048},
                                {"text_maxlen", 512}});
  EXPECT_EQ(large.shapes().at("word_embed.weight"), Shape({3584, 56}));
  EXPECT_EQ(large.shapes().at("block_chunks.7.module.4.ffn.fc2.weight"), Shape({3584, 14336}));
  EXPECT_EQ(large.shapes().at("text_proj_for_sos.ca.mat_q"), Shape({1, 16, 224}));
}

TEST(InfinityConfig, ATokenizerWithOtherBitsIsRefused) {
  ExpectError(ErrorKind::kConfig,
              "works on 3 bits a token, but its tokenizer gives 16 (64 with 2 x 2 patches)", [] {
                InferConfig(SmallWeights(SmallConfig({{"block_chunks", 4}})), 16);
              });
  Weights other;
  other.path = "other.pth";
  other.tensors["a"] = Tensor({1}, DType::kF32);
  ExpectError(ErrorKind::kFormat, "other.pth: is no Infinity transformer",
              [&] { InferConfig(other, 3); });
  other.tensors["blocks.0.sa.mat_qkv.weight"] = Tensor({1}, DType::kF32);
  ExpectError(ErrorKind::kUnsupported, "block_chunks 1", [&] { InferConfig(other, 3); });
}

TEST(InfinityConfig, ACheckpointThatLacksAChunkIsRefused) {
  const Weights whole = SmallWeights(SmallConfig({{"depth", 8}, {"block_chunks", 8}}));
  EXPECT_EQ(InferConfig(whole, 3).depth, 8);
  const auto refuses = [&](const std::string& lost, const std::string& part) {
    Weights cut = whole;
    std::erase_if(cut.tensors, [&](const auto& item) { return item.first.starts_with(lost); });
    ExpectError(ErrorKind::kFormat, "random.safetensors: " + part, [&] { InferConfig(cut, 3); });
  };
  refuses("block_chunks.7.", "ends with block_chunks.6, but the published checkpoints have 4 or 8");
  refuses("block_chunks.0.", "has tensors of block_chunks.7, but none of block_chunks.0");
}

TEST(InfinityCheckpoint, OfTheWrongDepthIsRefused) {
  const Weights weights = SmallWeights(SmallConfig());
  ExpectError(ErrorKind::kFormat,
              "random.safetensors: the checkpoint has 4 blocks, but an Infinity of depth 6", [&] {
                Load(weights, ParseConfig(SmallConfig({{"depth", 6}})), Device::kCpu, DType::kF32);
              });
  ExpectError(ErrorKind::kFormat, "wrong shape: block_chunks.0.module.0.ada_gss", [&] {
    Load(weights, ParseConfig(SmallConfig({{"embed_dim", 64}})), Device::kCpu, DType::kF32);
  });
}

TEST(InfinityCheckpoint, OfTheTrainerHoldsTheTransformerBesideOtherThings) {
  const Json json = SmallConfig({{"block_chunks", 4}});
  const Weights plain = SmallWeights(json);
  Weights trainer;
  trainer.path = "ar-ckpt.pth";
  for (const auto& [name, tensor] : plain.tensors) {
    trainer.tensors["trainer.gpt_fsdp." + name] = tensor;
  }
  trainer.tensors["trainer.vae_local.encoder.conv_in.weight"] = Tensor({1}, DType::kF32);
  const std::string zeros = "block_chunks.0.module.0.sa.zero_k_bias";
  trainer.tensors["trainer.gpt_fsdp." + zeros] = Tensor({32}, DType::kF32);
  const Weights found = TransformerWeights(trainer);
  EXPECT_EQ(found.tensors.size(), plain.tensors.size());
  EXPECT_EQ(InferConfig(found, 3).depth, 4);
  Load(trainer, ParseConfig(json), Device::kCpu, DType::kF32);
  Tensor bias({32}, DType::kF32);
  bias.MutableData<float>()[5] = 1;
  trainer.tensors["trainer.gpt_fsdp." + zeros] = bias;
  ExpectError(ErrorKind::kFormat, zeros + ": expected zeros", [&] { TransformerWeights(trainer); });
}

const std::vector<TokenMap>& Maps() {
  static const std::vector<TokenMap> maps = {{1, 1}, {2, 1}, {3, 2}};
  return maps;
}

struct Runner {
  Arena arena{Device::kCpu, size_t{32} << 20};
  Context ctx{.device = Device::kCpu, .arena = &arena};

  // Logits of one scale of all rows; the codes so far depend on the scale alone.
  Tensor Forward(Session& session, int64_t scale, int64_t pictures) {
    const int64_t tokens = session.map(scale).tokens();
    const int64_t bits = session.model().config.bits();
    const Tensor one = RandomTensor({1, tokens, bits}, static_cast<uint32_t>(scale));
    Tensor input({pictures, tokens, bits}, DType::kF32);
    for (int64_t i = 0; i < pictures; ++i) {
      std::copy_n(one.Data<float>(), tokens * bits, input.MutableData<float>() + i * tokens * bits);
    }
    Tensor logits({session.rows(), tokens, 2 * bits}, DType::kF32);
    session.Forward(ctx, scale, scale == 0 ? ConstView() : input.view(), logits.mutable_view());
    return logits;
  }
};

SessionOptions Options(int64_t rows) { return {.maps = Maps(), .reference = {6, 4}, .rows = rows}; }

Tensor Rows(const Tensor& logits, int64_t begin, int64_t end) {
  return Cast(logits.view().Slice(0, begin, end), DType::kF32);
}

TEST(InfinityTexts, UnconditionalRowsHaveThePromptsLengths) {
  const auto model = SmallModel();
  const Tensor a = RandomTensor({2, 256}, 1);
  const Tensor b = RandomTensor({5, 256}, 2);
  const std::vector<ConstView> prompts = {a, b};
  const TextBatch batch = MakeTextBatch(*model, prompts, {}, true);
  EXPECT_EQ(batch.text.shape(), Shape({4, 5, 256}));
  const std::vector<int32_t> mask(batch.mask.Data<int32_t>(), batch.mask.Data<int32_t>() + 20);
  EXPECT_THAT(mask, testing::ElementsAre(1, 1, 0, 0, 0, 1, 1, 1, 1, 1,  //
                                         1, 1, 0, 0, 0, 1, 1, 1, 1, 1));
  const ConstView learned = model->text.unconditional().view().Slice(0, 0, 5);
  EXPECT_TRUE(SameBits(Cast(batch.text.view().Slice(0, 3, 4).Reshape({5, 256}), DType::kF32),
                       Cast(learned, DType::kF32)));
  EXPECT_EQ(MakeTextBatch(*model, prompts, {}, false).text.shape(), Shape({2, 5, 256}));
  const Tensor longer = RandomTensor({7, 256}, 2);
  ExpectError(ErrorKind::kUsage, "a prompt of 7 tokens; the model reads 1 to 6",
              [&] { MakeTextBatch(*model, std::vector<ConstView>{longer}, {}, true); });
  ExpectError(ErrorKind::kUsage, "1 negative prompts for 2",
              [&] { MakeTextBatch(*model, prompts, std::vector<ConstView>{a}, true); });
}

// A row's logits do not depend on the other rows, nor on the padding of its text.
TEST(InfinitySession, RowsAreIndependent) {
  for (const int once : {0, 1}) {
    const auto model = SmallModel({{"add_lvl_embeding_only_first_block", once}});
    const Tensor a = RandomTensor({2, 256}, 1);
    const Tensor b = RandomTensor({5, 256}, 2);
    const TextBatch both = MakeTextBatch(*model, std::vector<ConstView>{a, b}, {}, false);
    const TextBatch alone = MakeTextBatch(*model, std::vector<ConstView>{a}, {}, false);
    Runner run;
    Session two(model, Options(2));
    Session one(model, Options(1));
    two.Begin(run.ctx, both.text, both.mask);
    one.Begin(run.ctx, alone.text, alone.mask);
    for (int64_t scale = 0; scale < 3; ++scale) {
      const Tensor want = run.Forward(one, scale, 1);
      const Tensor got = run.Forward(two, scale, 2);
      EXPECT_LT(RmsError(Rows(got, 0, 1), want), 1e-5) << scale;
      EXPECT_GT(RmsError(Rows(got, 1, 2), want), 1e-2) << scale;
    }
  }
}

TEST(InfinitySession, AForkGoesOnLikeTheOriginal) {
  const auto model = SmallModel();
  const Tensor a = RandomTensor({2, 256}, 1);
  const Tensor b = RandomTensor({5, 256}, 2);
  const TextBatch texts = MakeTextBatch(*model, std::vector<ConstView>{a, b}, {}, false);
  Runner run;
  Session session(model, Options(2));
  session.Begin(run.ctx, texts.text, texts.mask);
  run.Forward(session, 0, 2);
  const std::vector<int64_t> rows = {1, 0, 1};
  Session fork = session.Fork(rows);
  for (int64_t scale = 1; scale < 3; ++scale) {
    const Tensor want = run.Forward(session, scale, 2);
    const Tensor got = run.Forward(fork, scale, 3);
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t row = rows[static_cast<size_t>(i)];
      EXPECT_TRUE(SameBits(Rows(got, i, i + 1), Rows(want, row, row + 1))) << scale;
    }
  }
  ExpectError(ErrorKind::kUsage, "row 2 of 2", [&] { session.Fork(std::vector<int64_t>{2}); });
}

TEST(InfinitySession, GuidanceInsideMakesBothHalvesAlike) {
  const auto model = SmallModel();
  const Tensor a = RandomTensor({3, 256}, 1);
  const TextBatch texts = MakeTextBatch(*model, std::vector<ConstView>{a}, {}, true);
  Runner run;
  SessionOptions options = Options(2);
  options.guidance = {.layers = {3}, .scales = {3, 1, 3}};
  Session guided(model, options);
  Session plain(model, Options(2));
  guided.Begin(run.ctx, texts.text, texts.mask);
  plain.Begin(run.ctx, texts.text, texts.mask);
  for (int64_t scale = 0; scale < 3; ++scale) {
    const Tensor got = run.Forward(guided, scale, 1);
    const Tensor without = run.Forward(plain, scale, 1);
    // After the last block; cached keys are those of the same states.
    EXPECT_EQ(SameBits(got, without), scale == 1);
    EXPECT_GT(RmsError(Rows(without, 0, 1), Rows(without, 1, 2)), 1e-3);
  }
}

TEST(InfinitySession, TheDryRunFindsTheArenasSize) {
  const auto model = SmallModel();
  const Tensor a = RandomTensor({4, 256}, 1);
  const TextBatch texts = MakeTextBatch(*model, std::vector<ConstView>{a}, {}, true);
  Session session(model, Options(2));
  Runner exact;
  const size_t bytes = session.ArenaBytes(4);
  Arena arena(Device::kCpu, bytes);
  exact.ctx.arena = &arena;
  session.Begin(exact.ctx, texts.text, texts.mask);
  for (int64_t scale = 0; scale < 3; ++scale) exact.Forward(session, scale, 1);
  EXPECT_EQ(arena.peak_bytes(), bytes);
}

TEST(InfinitySession, RefusesWhatDoesNotFit) {
  const auto model = SmallModel();
  Runner run;
  Session session(model, Options(1));
  ExpectError(ErrorKind::kUsage, "scale 0 of 3 asked for", [&] { run.Forward(session, 0, 1); });
  const Tensor mask({1, 2}, DType::kI32);
  ExpectError(ErrorKind::kShape, "text: expected float32 [1, L, 256]", [&] {
    session.Begin(run.ctx, RandomTensor({1, 2, 128}, 1), mask);
  });
  ExpectError(ErrorKind::kShape, "mask: expected int32 [1, 3]", [&] {
    session.Begin(run.ctx, RandomTensor({1, 3, 256}, 1), mask);
  });
  SessionOptions options = Options(1);
  options.maps.front() = {2, 2};
  ExpectError(ErrorKind::kUsage, "starts from a single token", [&] { Session(model, options); });
  options.maps.assign(16, TokenMap{});
  ExpectError(ErrorKind::kUsage, "a schedule of 16 scales", [&] { Session(model, options); });
  options = Options(1);
  options.guidance = {.layers = {1}, .scales = {1, 1, 1}};
  ExpectError(ErrorKind::kUsage, "an unconditional row", [&] { Session(model, options); });
  options.rows = 2;
  options.guidance.layers = {4};
  ExpectError(ErrorKind::kUsage, "guidance after layer 4", [&] { Session(model, options); });
}

// 2 x 2 patches: bit c * 4 + dy * 2 + dx of a token is bit c of the code at (2 y + dy, 2 x + dx).
TEST(InfinityCodes, TokensAndBitsAreTheSameThing) {
  for (const int patchify : {0, 1}) {
    const Config config = ParseConfig(SmallConfig({{"apply_spatial_patchify", patchify}}));
    const TokenMap map = {2, 3};
    const TokenMap codes = CodeMap(config, map);
    const int64_t bits = config.bits();
    Tensor tokens({2, map.tokens() * bits}, DType::kI32);
    for (int64_t i = 0; i < tokens.shape().numel(); ++i) {
      tokens.MutableData<int32_t>()[i] = static_cast<int32_t>(i * i / 3 % 2);
    }
    Runner run;
    Tensor grid({2, codes.height, codes.width, 3}, DType::kU8);
    TokensToBits(run.ctx, config, map, tokens, grid.mutable_view());
    const int64_t side = config.patch();
    for (int64_t i = 0; i < grid.shape().numel(); ++i) {
      const int64_t c = i % 3;
      const int64_t x = i / 3 % codes.width;
      const int64_t y = i / 3 / codes.width % codes.height;
      const int64_t b = i / 3 / codes.tokens();
      const int64_t token = (b * map.height + y / side) * map.width + x / side;
      const int64_t bit = (c * side + y % side) * side + x % side;
      EXPECT_EQ(grid.Data<uint8_t>()[i], tokens.Data<int32_t>()[token * bits + bit]);
    }
    Tensor back(tokens.shape(), DType::kI32);
    BitsToTokens(run.ctx, config, map, grid, back.mutable_view());
    EXPECT_TRUE(SameBits(back, tokens));
  }
}

}  // namespace
}  // namespace gesso::infinity
