// Tokenizer, T5 configuration and prompt encoder. Values of the encoder itself:
// tests/pipelines/parity_test.cpp.
#include <fstream>

#include "models/io/safetensors.h"
#include "models/text/prompt_encoder.h"
#include "tests/support/files.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso::text {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers
namespace fs = std::filesystem;

constexpr int64_t kManyTokens = 100000;

fs::path DemoTokenizer() {
  return fs::path(GESSO_SOURCE_DIR) / "assets" / "models" / "demo-hdit" / "tokenizer" /
         "spiece.model";
}

TEST(Tokenizer, GivesTheRecordedIds) {
  const fs::path folder = fs::path(GESSO_PARITY_DIR) / "tokenizer.t5";
  if (!fs::exists(folder)) GTEST_SKIP() << "no folder '" << folder.string() << "'";
  const Tokenizer tokenizer(folder / "spiece.model");
  const Json cases = ReadJson(folder / "cases.json");
  for (const Json& item : cases.at("cases")) {
    const Json& plain = item.at("ids_sentencepiece");
    const auto expected = (plain.is_null() ? item.at("ids") : plain).get<std::vector<int32_t>>();
    const auto text = item.at("text").get<std::string>();
    const TokenIds result = tokenizer.Encode(text, kManyTokens);
    EXPECT_EQ(result.ids, expected) << text;
    EXPECT_FALSE(result.truncated) << text;
  }
}

TEST(Tokenizer, CutsLongTextsAndSaysSo) {
  const Tokenizer tokenizer(DemoTokenizer());
  const TokenIds whole = tokenizer.Encode("a red apple and a cat", kManyTokens);
  ASSERT_GT(whole.ids.size(), 4u);
  EXPECT_FALSE(whole.truncated);
  EXPECT_EQ(whole.ids.back(), 1);
  const auto length = static_cast<int64_t>(whole.ids.size());
  EXPECT_FALSE(tokenizer.Encode("a red apple and a cat", length).truncated);
  const TokenIds cut = tokenizer.Encode("a red apple and a cat", 4);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.ids, (std::vector<int32_t>{whole.ids[0], whole.ids[1], whole.ids[2], 1}));
  EXPECT_EQ(tokenizer.Encode("", 4).ids, std::vector<int32_t>{1});
  EXPECT_EQ(tokenizer.Encode("apple", 1).ids, std::vector<int32_t>{1});
}

TEST(Tokenizer, TakesAnyBytes) {
  const Tokenizer tokenizer(DemoTokenizer());
  const std::vector<int32_t> cat = tokenizer.Encode("cat", kManyTokens).ids;
  for (const std::string& bad :
       {std::string("\xff"), std::string("\xc3"), std::string("\xed\xa0\x80"),
        std::string("\xf8\x88\x80\x80\x80"), std::string("\0", 1)}) {
    const std::vector<int32_t> ids = tokenizer.Encode("cat " + bad, kManyTokens).ids;
    EXPECT_EQ(ids.front(), cat.front());
    EXPECT_EQ(ids.back(), 1);
    for (const int32_t id : ids) EXPECT_LT(id, tokenizer.vocab_size());
  }
}

TEST(Tokenizer, IsNotHeldUpByAMegabyte) {
  const Tokenizer tokenizer(DemoTokenizer());
  std::string words;
  while (words.size() < (1 << 20)) words += "apple ";
  std::string wide;
  while (wide.size() < (1 << 20)) wide += "\xe2\x82\xac";
  for (const std::string& text : {words, wide, std::string(1 << 20, 'x'), std::string(1 << 20, ' '),
                                  std::string(1 << 20, '\xff')}) {
    const TokenIds result = tokenizer.Encode(text, 64);
    EXPECT_TRUE(result.truncated);
    EXPECT_LE(result.ids.size(), 64u);
    EXPECT_EQ(result.ids.back(), 1);
  }
}

TEST(Tokenizer, RefusesWhatIsNoModel) {
  const fs::path path = fs::path(testing::TempDir()) / "not_a.model";
  std::ofstream(path) << "version https://git-lfs.github.com/spec/v1";
  ExpectError(ErrorKind::kFormat, "not_a.model: is no SentencePiece model",
              [&] { Tokenizer{path}; });
  ExpectError(ErrorKind::kIo, "no such file", [&] { Tokenizer{path / "absent"}; });
  std::string truncated = ReadFile(DemoTokenizer(), 1 << 20);
  std::ofstream(path, std::ios::trunc) << truncated.substr(0, truncated.size() / 2);
  ExpectError(ErrorKind::kFormat, "not_a.model", [&] { Tokenizer{path}; });
}

Json SmallConfig() {
  return {{"vocab_size", 512}, {"d_model", 24},
          {"d_kv", 8},         {"num_heads", 2},
          {"d_ff", 40},        {"num_layers", 2},
          {"n_positions", 16}, {"feed_forward_proj", "gated-gelu"}};
}

std::shared_ptr<const T5Encoder> SmallEncoder(const Json& config) {
  T5Encoder shapes(ParseT5Config(config));
  return T5Encoder::Load(RandomWeights(shapes, 3), config, Device::kCpu, DType::kF32);
}

TEST(T5Config, NamesTheField) {
  const auto expect = [](ErrorKind kind, const char* part, const Json& patch) {
    Json json = SmallConfig();
    json.merge_patch(patch);
    ExpectError(kind, part, [&] { ParseT5Config(json); });
  };
  expect(ErrorKind::kConfig, "num_layers", {{"num_layers", 0}});
  expect(ErrorKind::kConfig, "d_model", {{"d_model", 1e300}});
  expect(ErrorKind::kConfig, "vocab_size", {{"vocab_size", -1}});
  expect(ErrorKind::kConfig, "num_heads", {{"num_heads", 262144}, {"d_kv", 262144}});
  expect(ErrorKind::kConfig, "relative_attention_num_buckets",
         {{"relative_attention_num_buckets", 1}});
  expect(ErrorKind::kConfig, "max_distance", {{"relative_attention_max_distance", 2}});
  expect(ErrorKind::kUnsupported, "feed_forward_proj 'gated-tanh'",
         {{"feed_forward_proj", "gated-tanh"}});
  ExpectError(ErrorKind::kConfig, "JSON object", [] { ParseT5Config(Json(3)); });
}

TEST(T5Config, KnowsTheActivations) {
  const auto activation = [](const char* name) {
    Json json = SmallConfig();
    json["feed_forward_proj"] = name;
    return ParseT5Config(json).activation;
  };
  EXPECT_EQ(activation("relu"), Activation::kRelu);
  EXPECT_EQ(activation("gelu"), Activation::kGeluErf);
  EXPECT_EQ(activation("gated-gelu"), Activation::kGeluTanh);
  EXPECT_EQ(activation("gated-silu"), Activation::kSilu);
}

TEST(T5Encoder, ReadsEveryLayoutOfCheckpoint) {
  Json config = SmallConfig();
  T5Encoder shapes(ParseT5Config(config));
  Weights weights = RandomWeights(shapes, 3);
  weights.tensors["decoder.block.0.layer.0.SelfAttention.q.weight"] = Tensor({2, 2}, DType::kF32);
  weights.tensors["lm_head.weight"] = Tensor({2, 2}, DType::kF32);
  weights.tensors["encoder.embed_tokens.weight"] = weights.tensors.at("shared.weight");
  T5Encoder::Load(weights, config, Device::kCpu, DType::kF32);
  weights.tensors.erase("shared.weight");
  T5Encoder::Load(weights, config, Device::kCpu, DType::kF32);
  weights.tensors.erase("encoder.embed_tokens.weight");
  ExpectError(ErrorKind::kFormat, "missing: shared.weight",
              [&] { T5Encoder::Load(weights, config, Device::kCpu, DType::kF32); });
}

// T5 v1.0's plain feed-forward has no parity case. One token, attention silent: the state is
// x + wo relu(wi norm(x)), which a few numbers can check.
TEST(T5Encoder, PlainFeedForwardByHand) {
  const Json config = {{"vocab_size", 1},
                       {"d_model", 2},
                       {"d_kv", 2},
                       {"num_heads", 1},
                       {"d_ff", 2},
                       {"num_layers", 1},
                       {"feed_forward_proj", "relu"}};
  T5Encoder shapes(ParseT5Config(config));
  Weights weights = RandomWeights(shapes, 3);
  const auto set = [&](const std::string& name, std::vector<float> values) {
    std::ranges::copy(values, weights.tensors.at(name).MutableData<float>());
  };
  const std::string block = "encoder.block.0.layer.";
  set("shared.weight", {3, 4});
  set(block + "0.SelfAttention.o.weight", {0, 0, 0, 0});
  set(block + "1.layer_norm.weight", {1, 1});
  set(block + "1.DenseReluDense.wi.weight", {1, 0, 0, -1});
  set(block + "1.DenseReluDense.wo.weight", {2, 5, 7, 5});
  set("encoder.final_layer_norm.weight", {1, 1});
  const auto encoder = T5Encoder::Load(weights, config, Device::kCpu, DType::kF32);
  const Tensor ids({1, 1}, DType::kI32);
  Tensor mask({1, 1}, DType::kI32);
  *mask.MutableData<int32_t>() = 1;
  Tensor states({1, 1, 2}, DType::kF32);
  Arena arena(Device::kCpu, encoder->ArenaBytes(1, 1));
  Context ctx{.device = Device::kCpu, .arena = &arena};
  encoder->Forward(ctx, ids, mask, states.mutable_view());
  const double normed = 3 / std::sqrt(12.5);  // relu drops the second, which is negative
  const double a = 3 + 2 * normed;
  const double b = 4 + 7 * normed;
  const double root = std::sqrt((a * a + b * b) / 2);
  EXPECT_NEAR(states.Data<float>()[0], a / root, 1e-5);
  EXPECT_NEAR(states.Data<float>()[1], b / root, 1e-5);
}

TEST(PromptEncoder, PaddingChangesNothing) {
  const PromptEncoder encoder(Tokenizer(DemoTokenizer()), SmallEncoder(SmallConfig()), Device::kCpu,
                              16);
  const std::vector<std::string> prompts = {"a cat", "two red apples left of a green car"};
  const EncodedPrompts both = encoder.Encode(prompts);
  const EncodedPrompts first = encoder.Encode(std::span(prompts).first(1));
  const int64_t tokens = first.context.shape()[1];
  ASSERT_LT(tokens, both.context.shape()[1]);
  EXPECT_LT(RmsError(both.context.view().Slice(0, 0, 1).Slice(1, 0, tokens), first.context), 1e-5);
  EXPECT_LT(RmsError(both.pooled.view().Slice(0, 0, 1), first.pooled), 1e-5);
  const int32_t* mask = both.context_mask.Data<int32_t>();
  EXPECT_EQ(mask[tokens - 1], 1);
  EXPECT_EQ(mask[tokens], 0);
}

// As google/flan-t5-xl lies on Hugging Face: a whole T5 in shards, beside it the same in PyTorch's
// format, and the tokenizer.
TEST(PromptEncoder, LoadsAPublishedFolder) {
  const TempFolder folder;
  Json config = SmallConfig();
  config.merge_patch({{"is_encoder_decoder", true},
                      {"num_decoder_layers", 2},
                      {"tie_word_embeddings", false},
                      {"dense_act_fn", "gelu_new"},
                      {"architectures", Json::array({"T5ForConditionalGeneration"})}});
  folder.Write("config.json", config.dump());
  folder.Write("tokenizer_config.json", R"({"model_max_length": 6})");
  fs::copy_file(DemoTokenizer(), folder.path() / "spiece.model");
  T5Encoder shapes(ParseT5Config(config));
  const Weights encoder = RandomWeights(shapes, 3);
  std::map<std::string, Tensor> shards[2];
  Json map = Json::object();
  const auto put = [&](const std::string& name, const Tensor& tensor) {
    const size_t shard = map.size() % 2;
    shards[shard][name] = tensor;
    map[name] = fmt::format("model-0000{}-of-00002.safetensors", shard + 1);
  };
  for (const auto& [name, tensor] : encoder.tensors) put(name, tensor);
  put("decoder.block.0.layer.0.SelfAttention.q.weight", Tensor({2, 2}, DType::kF32));
  put("lm_head.weight", Tensor({2, 2}, DType::kF32));
  for (size_t i = 0; i < 2; ++i) {
    WriteSafetensors(folder.path() / fmt::format("model-0000{}-of-00002.safetensors", i + 1),
                     shards[i], {});
  }
  folder.Write("model.safetensors.index.json",
               Json({{"metadata", Json::object()}, {"weight_map", map}}).dump());
  folder.Write("pytorch_model.bin.index.json", "not read");

  const auto loaded = PromptEncoder::Load(folder.path(), Device::kCpu, DType::kF32);
  EXPECT_EQ(loaded->max_tokens(), 6);
  EXPECT_EQ(loaded->features(), 24);
  const PromptEncoder direct(Tokenizer(DemoTokenizer()), SmallEncoder(SmallConfig()), Device::kCpu,
                             6);
  const std::vector<std::string> prompts = {"a cat", "two red apples left of a green car"};
  const EncodedPrompts got = loaded->Encode(prompts);
  const EncodedPrompts want = direct.Encode(std::span(prompts).first(1));
  const ConstView tokens = got.Tokens(0);
  EXPECT_EQ(tokens.shape, Shape({want.context.shape()[1], 24}));
  EXPECT_LT(RmsError(tokens, want.Tokens(0)), 1e-5);
  EXPECT_EQ(got.Tokens(1).shape, Shape({6, 24}));
}

TEST(PromptEncoder, SaysWhichPromptWasCut) {
  const PromptEncoder encoder(Tokenizer(DemoTokenizer()), SmallEncoder(SmallConfig()), Device::kCpu,
                              5);
  const std::vector<std::string> prompts = {"", "a very long prompt with many words in it"};
  const EncodedPrompts encoded = encoder.Encode(prompts);
  EXPECT_EQ(encoded.truncated, (std::vector<bool>{false, true}));
  EXPECT_EQ(encoded.context.shape(), Shape({2, 5, 24}));
  EXPECT_EQ(encoded.context_mask.Data<int32_t>()[1], 0);
}

TEST(PromptEncoder, RefusesATokenizerThatIsTooLarge) {
  Json config = SmallConfig();
  config["vocab_size"] = 100;
  ExpectError(ErrorKind::kConfig, "vocabulary", [&] {
    PromptEncoder(Tokenizer(DemoTokenizer()), SmallEncoder(config), Device::kCpu, 5);
  });
}

}  // namespace
}  // namespace gesso::text
