// Pictures by Infinity, from a tiny model with random weights in the layouts that are published.
#include "pipelines/infinity_pictures.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "models/io/safetensors.h"
#include "pipelines/generator.h"
#include "pipelines/infinity_model.h"
#include "pipelines/media/image_file.h"
#include "pipelines/memory.h"
#include "tests/support/files.h"
#include "tests/support/ops.h"
#include "tests/support/pictures.h"
#include "tests/support/random_weights.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;
using testing_support::ExpectError;
using testing_support::RandomWeights;

const fs::path kText = fs::path(GESSO_SOURCE_DIR) / "tests/data/models/tiny-var";

class Collector : public GenerateObserver {
 public:
  void OnStep(const StepReport& step) override { previews.push_back(step.preview().at(0).pixels); }
  void OnPicture(const Picture& picture) override { pictures.push_back(picture); }

  std::vector<std::vector<uint8_t>> previews;
  std::vector<Picture> pictures;
};

// The published files, of tiny sizes: pixels are 2 a token.
class InfinityPictures : public testing::Test {
 protected:
  static Json TransformerConfig() {
    return {{"depth", 4},     {"embed_dim", 32},    {"num_heads", 2},       {"block_chunks", 4},
            {"mlp_ratio", 8}, {"codebook_dim", 16}, {"text_channels", 256}, {"text_maxlen", 512}};
  }
  static Json TokenizerConfig() {
    return {{"codebook_dim", 16},  {"patch_size", 2},           {"base_ch", 64},
            {"num_res_blocks", 1}, {"encoder_ch_mult", {1, 1}}, {"decoder_ch_mult", {1, 1}}};
  }

  static void SetUpTestSuite() {
    files_ = new TempFolder();
    infinity::Model transformer(infinity::ParseConfig(TransformerConfig()));
    Write("infinity_tiny.pth", RandomWeights(transformer, 1), "");
    bsq_vae::Model vae(bsq_vae::ParseConfig(TokenizerConfig()));
    Write("infinity_vae_d16.pth", RandomWeights(vae, 2), "vae.");
    files_->Write("infinity_vae_d16.json", TokenizerConfig().dump());
    fs::create_directory(files_->path() / "flan-t5-xl");
    const Json encoder = {{"vocab_size", 40},
                          {"d_model", 256},
                          {"d_kv", 16},
                          {"d_ff", 48},
                          {"num_layers", 1},
                          {"num_heads", 2},
                          {"feed_forward_proj", "gated-gelu"}};
    text::T5Encoder t5(text::ParseT5Config(encoder));
    Write("flan-t5-xl/model.safetensors", RandomWeights(t5, 3), "");
    files_->Write("flan-t5-xl/config.json", encoder.dump());
    fs::copy(kText / "tokenizer/spiece.model", files_->path() / "flan-t5-xl/spiece.model");
  }
  static void TearDownTestSuite() { delete files_; }

  static void Write(const std::string& name, const Weights& weights, const std::string& prefix) {
    std::map<std::string, Tensor> tensors;
    for (const auto& [key, tensor] : weights.tensors) tensors[prefix + key] = tensor;
    WriteSafetensors(files_->path() / name, tensors, {});
  }

  static Request Apple() {
    Request request;
    request.model = files_->path() / "infinity_tiny.pth";
    request.prompt = "three frogs";
    request.seed = 7;
    request.width = 32;
    request.height = 32;
    return request;
  }

  static Collector Generate(const Request& request) {
    Generator generator(Device::kCpu);
    Collector collector;
    generator.Run(generator.Resolve(request), collector);
    return collector;
  }
  template <class Change>
  static std::vector<uint8_t> PixelsWith(const Change& change) {
    Request request = Apple();
    change(request);
    return Generate(request).pictures.at(0).image.pixels;
  }
  static std::vector<uint8_t> Pixels() {
    return PixelsWith([](Request&) {});
  }

  static TempFolder* files_;
};

TempFolder* InfinityPictures::files_ = nullptr;

TEST_F(InfinityPictures, AreTheSameInAnyBatchAndGrow) {
  Request batch = Apple();
  batch.batch_count = 2;
  const Collector seen = Generate(batch);
  EXPECT_EQ(seen.previews.size(), 7U);
  EXPECT_NE(seen.previews[4], seen.previews[6]);
  EXPECT_EQ(Pixels(), seen.pictures.at(0).image.pixels);
  EXPECT_EQ(PixelsWith([](Request& r) { r.seed = 8; }), seen.pictures.at(1).image.pixels);
  EXPECT_NE(seen.pictures.at(0).image.pixels, seen.pictures.at(1).image.pixels);
  const Request settings = seen.pictures.at(0).request;
  EXPECT_EQ(settings.cfg_scale, 3.0);
  EXPECT_EQ(settings.temperature, PerScale{{0.5}});
}

// Jobs that follow one another use each other's memory where a device records its work.
TEST_F(InfinityPictures, AreTheSameInAnyOrderOfJobs) {
  std::vector<Request> jobs(12, Apple());
  jobs[1].seed = 8;
  jobs[2].prompt = "a blue car and a green frog";  // more tokens
  jobs[3].negative_prompt = "a blue car";
  jobs[5].vae_tile_size = 16;
  jobs[7].cache = "scalekv";
  jobs[9].batch_count = 2;  // as many rows as the one before
  jobs[9].cfg_scale = 1;
  jobs[10].width = 24;
  jobs[10].height = 42;
  testing_support::ExpectSameInAnyOrderOfJobs<Collector>(jobs);
}

TEST_F(InfinityPictures, OnAGpuAreTheSamePlayed) {
  Request b = Apple();
  b.seed = 8;
  b.vae_tile_size = 16;
  testing_support::ExpectSamePlayedOnAGpu<Collector>(Apple(), b);
}

TEST_F(InfinityPictures, HeedTheirSettings) {
  const std::vector<uint8_t> plain = Pixels();
  EXPECT_NE(PixelsWith([](Request& r) { r.prompt = "a blue car"; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.negative_prompt = "a blue car"; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.cfg_scale = 1; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.temperature = PerScale{{1}}; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.top_k = 1; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.vae_tile_size = 16; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.cache = "fastvar:last_ratio=0.5"; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.cache = "scalekv"; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) { r.cache = "depth:layers=2,from=5"; }), plain);
  // Lists of the same number everywhere are that number.
  const std::vector<double> threes(7, 3);
  EXPECT_EQ(PixelsWith([&](Request& r) { r.cfg_per_scale = PerScale{threes}; }), plain);
  EXPECT_EQ(PixelsWith([](Request& r) { r.vae_tile_size = 0; }), plain);
  EXPECT_NE(PixelsWith([](Request& r) {
              r.cfg_per_scale = PerScale{{1, 1, 1, 1, 1, 3, 3}};
            }),
            plain);
}

TEST_F(InfinityPictures, WithoutRoomAreDecodedInTiles) {
  Request whole = Apple();
  whole.cfg_scale = 1;  // or it would be the network that takes most
  Request tiled = whole;
  tiled.vae_tile_size = 16;
  const auto bytes_of = [](const Request& request) {
    Generator generator(Device::kCpu);
    Request resolved = generator.Resolve(request);
    return generator.ModelOf(resolved).Prepare(resolved)->MakeBatch(1, nullptr)->ArenaBytes();
  };
  const int64_t room = bytes_of(tiled);
  ASSERT_LT(room, bytes_of(whole));
  const MemoryLimit limit(room);
  const Picture picture = Generate(whole).pictures.at(0);
  EXPECT_EQ(picture.request.vae_tile_size, 16);
  EXPECT_EQ(picture.image.pixels, Generate(tiled).pictures.at(0).image.pixels);
  whole.vae_tile_size = 0;
  ExpectError(ErrorKind::kMemory, "a picture of 32 x 32 will not fit", [&] { Generate(whole); });
}

TEST_F(InfinityPictures, HaveThePublishedSizes) {
  const auto refuses = [](int64_t width, int64_t height, const char* part) {
    ExpectError(ErrorKind::kUsage, part, [&] {
      PixelsWith([&](Request& r) {
        r.width = width;
        r.height = height;
      });
    });
  };
  refuses(40, 40, "no pictures of 40 x 40; the nearest of its sizes are");
  refuses(33, 32, "nearest of its sizes are 32 x 32, 40 x 32");
  refuses(128, 32, "no pictures of 128 x 32; the nearest of its sizes are");  // beyond 3:1
  const Request wide = [] {
    Request request = Apple();
    request.width = 42;  // 14 x 21 tokens
    request.height = 28;
    return request;
  }();
  EXPECT_EQ(Generate(wide).pictures.at(0).image.width, 42);
}

TEST_F(InfinityPictures, KeepWhatAMaskKeeps) {
  Image image{32, 32, 3, Pixels()};
  Image mask{32, 32, 1, std::vector<uint8_t>(32 * 32, 0)};
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    if (i % 32 >= 16) mask.pixels[i] = 255;
  }
  const fs::path picture = files_->Write("picture.png", EncodePng(image, {}));
  const fs::path right = files_->Write("right.png", EncodePng(mask, {}));
  const std::vector<uint8_t> edited = PixelsWith([&](Request& r) {
    r.prompt = "a blue car";
    r.init_image = picture;
    r.mask = right;
    r.width.reset();  // the picture's
    r.height.reset();
  });
  int changed = 0;
  for (size_t i = 0; i < edited.size(); ++i) {
    const bool is_painted = i / 3 % 32 >= 16;
    if (!is_painted) {
      ASSERT_EQ(edited[i], image.pixels[i]) << i;
    }
    changed += is_painted && edited[i] != image.pixels[i] ? 1 : 0;
  }
  EXPECT_GT(changed, 100);
  const auto refuses = [&](ErrorKind kind, const char* part, const auto& change) {
    ExpectError(kind, part, [&] { PixelsWith(change); });
  };
  refuses(ErrorKind::kUsage, "mask: needs the picture", [&](Request& r) { r.mask = right; });
  refuses(ErrorKind::kUsage, "needs the mask", [&](Request& r) { r.init_image = picture; });
  refuses(ErrorKind::kUsage, "30 x 40; only_masked paints a part of a picture", [&](Request& r) {
    r.init_image = picture;
    r.outpaint = Margins{2, 2, 2, 2};
    r.width.reset();
    r.height.reset();
  });
  refuses(ErrorKind::kUsage, "is 32 x 32, but a picture of 42 x 28", [&](Request& r) {
    r.init_image = picture;
    r.mask = right;
    r.width = 42;
    r.height = 28;
  });
  mask.width = 64;
  mask.height = 16;
  const fs::path other = files_->Write("other.png", EncodePng(mask, {}));
  refuses(ErrorKind::kFormat, "other.png: is 64 x 16, but its picture", [&](Request& r) {
    r.init_image = picture;
    r.mask = other;
  });
}

TEST_F(InfinityPictures, RefuseWhatTheyCannotDo) {
  const auto refuses = [](const char* part, const auto& change) {
    ExpectError(ErrorKind::kUsage, part, [&] { PixelsWith(change); });
  };
  refuses("steps: has no effect", [](Request& r) { r.steps = 20; });
  refuses("its bits do not mix", [](Request& r) { r.more_smooth = true; });
  refuses("cfg_per_scale: has 2 values, but the picture has 7 scales", [](Request& r) {
    r.cfg_per_scale = PerScale{{1, 2}};
  });
  refuses("temperature: 0 is below 0.001", [](Request& r) { r.temperature = PerScale{{0}}; });
  refuses("negative_prompt: has no effect without guidance (cfg_per_scale 1)", [](Request& r) {
    r.negative_prompt = "a dog";
    r.cfg_per_scale = PerScale{{1, 1, 1, 1, 1, 1, 1}};
  });
  refuses("cache scalekv+depth:from=7: depth: depth switching from scale 7 on",
          [](Request& r) { r.cache = "scalekv+depth:from=7"; });
  refuses("vae_tile_size: 5 is no multiple of 2", [](Request& r) { r.vae_tile_size = 5; });
  refuses("no prompt", [](Request& r) { r.prompt.reset(); });
}

TEST_F(InfinityPictures, ComeFromAShardedFolderToo) {
  const fs::path folder = files_->path() / "infinity_tiny_weights";
  fs::create_directory(folder);
  fs::copy(files_->path() / "infinity_tiny.pth", folder / "a.safetensors");
  Json map;
  for (const auto& [name, tensor] : OpenWeights(folder / "a.safetensors").tensors) {
    map[name] = "a.safetensors";
  }
  std::ofstream(folder / "model.safetensors.index.json") << Json{{"weight_map", map}}.dump();
  EXPECT_EQ(PixelsWith([&](Request& r) { r.model = folder; }), Pixels());
  fs::remove_all(folder);
}

TEST_F(InfinityPictures, ComeFromAFolderInTheStyleOfDiffusers) {
  const fs::path folder = files_->path() / "folder";
  const auto put = [&](const char* part, const char* weights, const Json& config) {
    fs::create_directories(folder / part);
    fs::copy(files_->path() / weights, folder / part / "model.safetensors");
    std::ofstream(folder / part / "config.json") << config.dump();
  };
  put("transformer", "infinity_tiny.pth", TransformerConfig());
  put("vae", "infinity_vae_d16.pth", TokenizerConfig());
  put("text_encoder", "flan-t5-xl/model.safetensors",
      ReadJson(files_->path() / "flan-t5-xl/config.json"));
  fs::create_directories(folder / "tokenizer");
  fs::copy(kText / "tokenizer/spiece.model", folder / "tokenizer");
  std::ofstream(folder / "model_index.json")
      << R"({"_class_name": "InfinityPipeline", "defaults": {"width": 32, "height": 32}})";
  EXPECT_EQ(PixelsWith([&](Request& r) {
              r.model = folder;
              r.width.reset();
              r.height.reset();
            }),
            Pixels());
  const auto refuses = [&](const char* part, const char* key, int value, ErrorKind kind,
                           const char* words) {
    Json config = ReadJson(folder / part / "config.json");
    const Json before = config;
    config[key] = value;
    std::ofstream(folder / part / "config.json") << config.dump();
    ExpectError(kind, words, [&] { LoadPictureModel(folder, Device::kCpu, DType::kF32); });
    std::ofstream(folder / part / "config.json") << before.dump();
  };
  refuses("transformer", "depth", 8, ErrorKind::kFormat,
          "has 4 blocks, but an Infinity of depth 8");
  refuses("transformer", "codebook_dim", 8, ErrorKind::kConfig, "codebook_dim 8 is not the 16");
  refuses("transformer", "text_channels", 128, ErrorKind::kFormat, "cfg_uncond");
  std::ofstream(folder / "model_index.json")
      << R"({"_class_name": "InfinityPipeline", "defaults": {"width": 33, "height": 32}})";
  ExpectError(ErrorKind::kConfig, "model_index.json, defaults: width, height: Infinity makes no",
              [&] { LoadPictureModel(folder, Device::kCpu, DType::kF32); });
  fs::remove_all(folder);
}

TEST_F(InfinityPictures, PoliciesSaveKeysAndValues) {
  const auto cache_bytes = [](const char* cache) {
    Request request = Apple();
    request.cache = cache;
    Generator generator(Device::kCpu);
    request = generator.Resolve(request);
    return generator.ModelOf(request).Describe(request)["picture"]["cache_bytes"].get<int64_t>();
  };
  // Keys and values of 4 layers, 2 rows and 32 channels; the last scale's 256 are not kept.
  const int64_t all = 2 * 4 * 2 * 32 * 4 * int64_t{521 - 256};
  EXPECT_EQ(cache_bytes(""), all);
  EXPECT_LT(cache_bytes("scalekv"), all / 3);  // 64 of 265 tokens a layer, or a little more
  // Two of the layers give theirs back before the scales begin that leave them out.
  EXPECT_EQ(cache_bytes("depth:layers=2,from=5"), all / 2);
}

TEST_F(InfinityPictures, NeedTheirFiles) {
  const auto refuses = [](ErrorKind kind, const char* part) {
    ExpectError(kind, part, [] {
      LoadPictureModel(files_->path() / "infinity_tiny.pth", Device::kCpu, DType::kF32);
    });
  };
  const auto without = [](const char* name, const auto& check) {
    fs::rename(files_->path() / name, files_->path() / "aside");
    check();
    fs::remove_all(files_->path() / name);
    fs::rename(files_->path() / "aside", files_->path() / name);
  };
  without("infinity_vae_d16.pth",
          [&] { refuses(ErrorKind::kIo, "published file infinity_vae_d16"); });
  without("flan-t5-xl/spiece.model",
          [&] { refuses(ErrorKind::kIo, "flan-t5-xl/spiece.model: is missing"); });
  without("flan-t5-xl", [&] { refuses(ErrorKind::kIo, "published folder flan-t5-xl"); });
  without("infinity_vae_d16.json", [&] {
    Json other = ReadJson(files_->path() / "aside");
    other["codebook_dim"] = 8;
    files_->Write("infinity_vae_d16.json", other.dump());
    refuses(ErrorKind::kFormat, "infinity_vae_d16.pth: weights do not fit");
  });
  // A tokenizer of another codebook: 16 bits a token are neither 6 nor 4 x 6.
  Json six = ReadJson(files_->path() / "infinity_vae_d16.json");
  six["codebook_dim"] = 6;
  bsq_vae::Model vae(bsq_vae::ParseConfig(six));
  without("infinity_vae_d16.json", [&] {
    files_->Write("infinity_vae_d16.json", six.dump());
    fs::rename(files_->path() / "infinity_vae_d16.pth", files_->path() / "good");
    Write("infinity_vae_d16.pth", RandomWeights(vae, 2), "vae.");
    refuses(ErrorKind::kConfig, "works on 16 bits a token, but its tokenizer gives 6");
    fs::rename(files_->path() / "good", files_->path() / "infinity_vae_d16.pth");
  });
}

TEST_F(InfinityPictures, DoNotTakeTheTokenizerOfOthers) {
  // As far as the tokenizer is chosen by.
  Weights transformer;
  transformer.tensors["text_proj_for_sos.ca.mat_q"] = Tensor({1}, DType::kF32);
  transformer.tensors["word_embed.weight"] = Tensor({4, 32}, DType::kF32);
  const fs::path other = files_->Write("infinity_vae_d32.pth", "plain");
  const auto refuses = [&](const char* name, ErrorKind kind, const char* part) {
    Write(name, transformer, "");
    ExpectError(kind, part,
                [&] { LoadPictureModel(files_->path() / name, Device::kCpu, DType::kF32); });
    fs::remove(files_->path() / name);
  };
  refuses("infinity_2b_reg.pth", ErrorKind::kIo, "put the published file infinity_vae_d32reg.pth");
  refuses("infinity_2b.pth", ErrorKind::kFormat, "infinity_vae_d32.pth: is not a checkpoint");
  const fs::path own = files_->Write("infinity_vae_d32_reg.pth", "regularised");
  refuses("infinity_2b_reg.pth", ErrorKind::kFormat, "infinity_vae_d32_reg.pth: is not a check");
  fs::remove(own);
  fs::remove(other);
}

}  // namespace
}  // namespace gesso
