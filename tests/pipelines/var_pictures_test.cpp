// Pictures by next-scale prediction, from a tiny model with random weights.
#include "pipelines/var_pictures.h"

#include <gtest/gtest.h>
#include <filesystem>

#include "kernels/core/parallel.h"
#include "models/io/safetensors.h"
#include "models/var/model.h"
#include "models/vqvae/model.h"
#include "pipelines/generator.h"
#include "pipelines/mask/kept_tokens.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "tests/support/files.h"
#include "tests/support/ops.h"
#include "tests/support/pictures.h"
#include "tests/support/random_weights.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;
using testing_support::ExpectError;

const std::string kModel = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/tiny-var";

class Collector : public GenerateObserver {
 public:
  void OnStep(const StepReport& step) override {
    EXPECT_GT(step.progress, progress);
    progress = step.progress;
    previews.push_back(step.preview().at(0).pixels);
  }
  void OnPicture(const Picture& picture) override {
    pictures.push_back(picture);
    progress = 0;
  }

  double progress = 0;
  std::vector<std::vector<uint8_t>> previews;
  std::vector<Picture> pictures;
};

Request Frogs() {
  Request request;
  request.model = kModel;
  request.prompt = "three frogs";
  request.seed = 7;
  return request;
}

Collector Generate(const Request& request) {
  Generator generator(Device::kCpu);
  Collector collector;
  generator.Run(generator.Resolve(request), collector);
  return collector;
}

std::vector<uint8_t> PixelsOf(const Request& request) {
  return Generate(request).pictures.at(0).image.pixels;
}

TEST(VarPictures, FillInTheModelsDefaults) {
  const Request settings = Generate(Frogs()).pictures.at(0).request;
  EXPECT_EQ(settings.width, 8);
  EXPECT_EQ(settings.height, 8);
  EXPECT_EQ(settings.cfg_scale, 3.0);
  EXPECT_EQ(settings.top_k, 12);
  EXPECT_FALSE(settings.steps);
}

TEST(VarPictures, AreTheSameInAnyBatchAndOnAnyNumberOfThreads) {
  Request batch = Frogs();
  batch.batch_count = 9;  // more than are made together
  const std::vector<Picture> pictures = Generate(batch).pictures;
  ASSERT_EQ(pictures.size(), 9U);
  const int threads = NumThreads();
  for (uint64_t i = 0; i < 9; ++i) {
    SetNumThreads(1 + static_cast<int>(i % 3));
    Request single = Frogs();
    single.seed = 7 + i;
    EXPECT_EQ(PixelsOf(single), pictures[i].image.pixels) << i;
  }
  SetNumThreads(threads);
  EXPECT_NE(pictures[0].image.pixels, pictures[1].image.pixels);
}

TEST(VarPictures, GrowScaleByScale) {
  const Collector seen = Generate(Frogs());
  ASSERT_EQ(seen.previews.size(), 4U);
  for (size_t i = 1; i < 4; ++i) EXPECT_NE(seen.previews[i - 1], seen.previews[i]) << i;
  EXPECT_EQ(seen.previews.back(), seen.pictures.at(0).image.pixels);
}

TEST(VarPictures, HeedPromptsGuidanceAndHowTokensAreDrawn) {
  const std::vector<uint8_t> frogs = PixelsOf(Frogs());
  const auto changed = [&](const auto& change) {
    Request request = Frogs();
    change(request);
    return PixelsOf(request) != frogs;
  };
  EXPECT_TRUE(changed([](Request& r) { r.prompt = "a blue car"; }));
  EXPECT_TRUE(changed([](Request& r) { r.negative_prompt = "a blue car"; }));
  EXPECT_TRUE(changed([](Request& r) { r.cfg_scale = 0; }));
  EXPECT_TRUE(changed([](Request& r) { r.top_k = 1; }));
  EXPECT_TRUE(changed([](Request& r) { r.top_p = 0.1; }));
  EXPECT_TRUE(changed([](Request& r) { r.cache = "depth:layers=2,from=2"; }));
  EXPECT_TRUE(changed([](Request& r) { r.temperature = PerScale{{0.1}}; }));
  EXPECT_TRUE(changed([](Request& r) { r.cfg_per_scale = PerScale{{3}}; }));
  EXPECT_TRUE(changed([](Request& r) { r.more_smooth = true; }));
  EXPECT_TRUE(changed([](Request& r) { r.vae_tile_size = 4; }));
  EXPECT_FALSE(changed([](Request& r) { r.cache = ""; }));
  EXPECT_FALSE(changed([](Request& r) { r.more_smooth = false; }));
  EXPECT_FALSE(changed([](Request& r) { r.temperature = PerScale{{1, 1, 1, 1}}; }));
  EXPECT_FALSE(changed([](Request& r) { r.cfg_per_scale = PerScale{{0, 1, 2, 3}}; }));
  // Tiles that cover all of it.
  EXPECT_FALSE(changed([](Request& r) { r.vae_tile_size = 8; }));
}

// Jobs that follow one another use each other's memory where a device records its work.
TEST(VarPictures, AreTheSameInAnyOrderOfJobs) {
  std::vector<Request> jobs(14, Frogs());
  jobs[1].prompt = "a blue car";
  jobs[2].vae_tile_size = 4;
  jobs[4].cache = "depth:layers=2,from=2";
  jobs[6].batch_count = 2;
  jobs[7].batch_count = 2;
  jobs[7].seed = 8;
  jobs[9].batch_count = 2;  // as many rows as the one before
  jobs[9].cfg_scale = 0;
  jobs[10].cfg_scale = 0;
  jobs[12].more_smooth = true;
  testing_support::ExpectSameInAnyOrderOfJobs<Collector>(jobs);
}

TEST(VarPictures, UseTheMemoryOfTheJobBefore) {
  testing_support::WithFakeBackend([](testing_support::FakeBackend& backend) {
    const auto allocations_after = [&](const Request& before) {
      Generator generator(Device::kCpu);
      Collector seen;
      generator.Run(generator.Resolve(before), seen);
      const int so_far = backend.allocations;
      generator.Run(generator.Resolve(Frogs()), seen);
      return backend.allocations - so_far;
    };
    Request unguided = Frogs();
    unguided.cfg_scale = 0;
    EXPECT_LT(allocations_after(Frogs()), allocations_after(unguided));
  });
}

TEST(VarPictures, OnAGpuAreTheSamePlayed) {
  Request a = Frogs();
  Request b = Frogs();
  b.seed = 8;
  b.vae_tile_size = 4;
  testing_support::ExpectSamePlayedOnAGpu<Collector>(a, b);
  a.model = b.model = std::string(GESSO_SOURCE_DIR) + "/assets/models/demo-var";
  b.prompt = "a blue car";
  b.vae_tile_size.reset();
  testing_support::ExpectSamePlayedOnAGpu<Collector>(a, b);
}

TEST(VarPictures, AreMadeAgainFromTheirMetadata) {
  Request request = Frogs();
  request.negative_prompt = "a dog";
  request.top_p = 0.8;
  request.batch_count = 2;
  const Picture picture = Generate(request).pictures.at(1);
  const std::string png = EncodePng(picture.image, MetadataOf({picture.request}));
  EXPECT_EQ(PixelsOf(ParseMetadata(png, "test.png").at(0)), DecodeImage(png, 3, "test.png").pixels);
}

TEST(VarPictures, RefuseWhatTheyCannotDo) {
  const auto refuses = [](const char* part, const auto& change) {
    Request request = Frogs();
    change(request);
    // Before anything is made.
    ExpectError(ErrorKind::kUsage, part, [&] { Generator(Device::kCpu).Resolve(request); });
  };
  refuses("steps: has no effect", [](Request& r) { r.steps = 20; });
  refuses("sampling_method: has no effect", [](Request& r) { r.sampling_method = "euler"; });
  refuses("pictures of 8 x 8 only, not of 16 x 8", [](Request& r) { r.width = 16; });
  refuses("class_label: model", [](Request& r) { r.class_label = 1; });
  refuses("no prompt", [](Request& r) { r.prompt.reset(); });
  refuses("no cache policy 'nothing'", [](Request& r) { r.cache = "nothing"; });
  refuses("cache depth:layers=5: depth switching to 5 layers, but the model has 4",
          [](Request& r) { r.cache = "depth:layers=5"; });
  refuses("strength: has no effect", [](Request& r) { r.strength = 0.5; });
  refuses("temperature: has 2 values, but the picture has 4 scales", [](Request& r) {
    r.temperature = PerScale{{1, 2}};
  });
  refuses("mask: needs the picture", [](Request& r) { r.mask = "x.png"; });
  refuses("negative_prompt: has no effect", [](Request& r) {
    r.negative_prompt = "a dog";
    r.cfg_scale = 0;
  });
  refuses("negative_prompt: has no effect without guidance (cfg_per_scale 0)", [](Request& r) {
    r.negative_prompt = "a dog";
    r.cfg_per_scale = PerScale{{0, 0, 0, 0}};
  });
  refuses("temperature: 1e-37 is below 0.001; top_k 1", [](Request& r) {
    r.temperature = PerScale{{1, 1e-37, 1, 1}};
  });
  Request diffusion;
  diffusion.model = fs::path(kModel).parent_path() / "tiny-hdit";
  diffusion.prompt = "a cat";
  diffusion.top_k = 5;
  ExpectError(ErrorKind::kUsage, "top_k: has no effect", [&] { Generate(diffusion); });
}

TEST(VarPictures, KeepWhatAMaskKeeps) {
  const TempFolder folder;
  const Image image{8, 8, 3, PixelsOf(Frogs())};
  Image mask{8, 8, 1, std::vector<uint8_t>(64, 0)};
  const auto edited = [&](const Image& paint, bool smooth) {
    Request request = Frogs();
    request.prompt = "a blue car";
    request.init_image = folder.Write("picture.png", EncodePng(image, {}));
    request.mask = folder.Write("mask.png", EncodePng(paint, {}));
    request.more_smooth = smooth;
    return PixelsOf(request);
  };
  ExpectError(ErrorKind::kFormat, "leaves nothing to paint", [&] { edited(mask, false); });
  for (size_t i = 0; i < 64; ++i) mask.pixels[i] = i < 32 ? 0 : 255;
  const std::vector<uint8_t> hard = edited(mask, false);
  EXPECT_TRUE(std::equal(hard.begin(), hard.begin() + 96, image.pixels.begin()));
  EXPECT_FALSE(std::equal(hard.begin() + 96, hard.end(), image.pixels.begin() + 96));
  EXPECT_NE(edited(mask, true), hard);
  // Half paint: between the two pictures.
  for (size_t i = 32; i < 64; ++i) mask.pixels[i] = 51;
  const std::vector<uint8_t> soft = edited(mask, false);
  for (size_t i = 0; i < soft.size(); ++i) {
    const int full = hard[i] - image.pixels[i];
    EXPECT_NEAR(soft[i] - image.pixels[i], i < 96 ? 0 : full * 0.2, 0.51) << i;
  }
}

TEST(EditedPicture, MasksDecideWhichTokensAreKept) {
  Image mask{8, 8, 1, std::vector<uint8_t>(64, 0)};
  mask.pixels[7] = 1;  // the upper right corner
  const std::vector<TokenMap> maps = {{1, 1}, {2, 2}, {4, 4}};
  const auto kept = [&](int64_t units) {
    const Tensor tensor = KeptTokens(mask, maps, units);
    return std::vector<int32_t>(tensor.Data<int32_t>(),
                                tensor.Data<int32_t>() + tensor.shape().numel());
  };
  std::vector<int32_t> want(21, 1);
  want[5 + 3] = 0;
  EXPECT_EQ(kept(1), want);  // a quarter of the token in the 2 x 2 map
  EXPECT_EQ(kept(3).size(), 63U);
  EXPECT_EQ(kept(3)[3 * 8 + 2], 0);
  mask.pixels.assign(64, 255);
  want.assign(21, 0);
  want[0] = 1;  // maps of up to three tokens
  EXPECT_EQ(kept(1), want);
}

// A copy of the tiny model that a test may spoil.
class SpoiltVar : public testing::Test {
 protected:
  void SetUp() override { fs::copy(kModel, folder_, fs::copy_options::recursive); }

  void Change(const std::string& file, const std::string& key, const Json& value) const {
    Json json = ReadJson(folder_ / file);
    json[key] = value;
    std::ofstream(folder_ / file) << json.dump();
  }
  void Refused(ErrorKind kind, const std::string& part) const {
    ExpectError(kind, part, [&] { LoadPictureModel(folder_, Device::kCpu, DType::kF32); });
  }

  TempFolder temporary_;
  fs::path folder_ = temporary_.path() / "var";
};

TEST_F(SpoiltVar, OtherDepthThanTheWeights) {
  Change("transformer/config.json", "depth", 5);
  Refused(ErrorKind::kFormat,
          "model.safetensors: the checkpoint has 4 blocks, but a VAR of depth 5");
}

TEST_F(SpoiltVar, OtherMapsThanTheTokenizer) {
  Change("vae/config.json", "v_patch_nums", {1, 2, 4});
  Refused(ErrorKind::kConfig, "v_patch_nums");
}

TEST_F(SpoiltVar, OtherCodebookThanTheConfig) {
  Change("vae/config.json", "vocab_size", 32);
  Refused(ErrorKind::kFormat, "quantize.embedding.weight");
}

TEST_F(SpoiltVar, OtherMapsThanTheWeights) {
  Change("transformer/config.json", "patch_nums", {1, 2, 3, 5});
  Refused(ErrorKind::kFormat,
          "transformer/model.safetensors: the checkpoint has 30 positions, but the patch_nums");
  Change("transformer/config.json", "patch_nums", {1, 2, 3, 4000});
  Refused(ErrorKind::kConfig, "transformer/config.json: field 'patch_nums' has a side of 4000");
}

TEST_F(SpoiltVar, TokenizerOfOtherCodes) {
  Change("vae/config.json", "vocab_size", 32);
  vqvae::Model other(vqvae::ParseConfig(ReadJson(folder_ / "vae/config.json")));
  const Weights weights = testing_support::RandomWeights(other, 1);
  WriteSafetensors(folder_ / "vae/model.safetensors", weights.tensors, {});
  Refused(ErrorKind::kConfig,
          "var: the transformer draws from 24 codes of 8 values, but this tokenizer has 32 codes");
}

TEST_F(SpoiltVar, PresetThatTheModelCannotFollow) {
  Change("model_index.json", "defaults", {{"cache", "depth:layers=9"}});
  Refused(ErrorKind::kConfig,
          "model_index.json, defaults: cache depth:layers=9: depth switching to 9 layers, but the "
          "model has 4");
}

TEST_F(SpoiltVar, WeightsThatMakeLogitsOverflow) {
  const fs::path path = folder_ / "transformer/model.safetensors";
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, tensor] : OpenWeights(path).tensors) {
    tensors[name] = Cast(tensor, DType::kF32);
  }
  Tensor& head = tensors.at("head.weight");
  std::fill_n(head.MutableData<float>(), head.shape().numel(), 3e38F);
  WriteSafetensors(path, tensors, {});
  Request request = Frogs();
  request.model = folder_;
  ExpectError(ErrorKind::kFormat, folder_.string() + ": scale ", [&] { Generate(request); });
  ExpectError(ErrorKind::kFormat, "are not finite", [&] { Generate(request); });
}

TEST_F(SpoiltVar, BareCheckpointWithoutItsTokenizer) {
  ExpectError(ErrorKind::kIo, "vae_ch160v4096z32.pth", [&] {
    LoadPictureModel(folder_ / "transformer" / "model.safetensors", Device::kCpu, DType::kF32);
  });
}

// A small transformer in the layout of the published ones. The tokenizer beside it is none, at
// which loading ends once the transformer is accepted.
class OfficialVar : public testing::Test {
 protected:
  static Json Config(int64_t depth) {
    return {{"depth", depth},
            {"embed_dim", 128},
            {"num_heads", 2},
            {"num_classes", 5},
            {"patch_nums", {1, 2, 3, 4, 5, 6, 8, 10, 13, 16}}};
  }

  void SetUp() override {
    Weights sizes;
    sizes.tensors["head.weight"] = Tensor({8, 128}, DType::kF32);
    sizes.tensors["word_embed.weight"] = Tensor({128, 4}, DType::kF32);
    sizes.tensors["blocks.0.attn.scale_mul_1H11"] = Tensor({1, 2, 1, 1}, DType::kF32);
    var::Model shapes(var::ParseConfig(Config(2), sizes));
    tensors_ = testing_support::RandomWeights(shapes, 1).tensors;
    files_.Write("vae_ch160v4096z32.pth", "no tokenizer");
  }
  void Refused(ErrorKind kind, const std::string& part) const {
    const fs::path path = files_.path() / "var_d2.safetensors";
    WriteSafetensors(path, tensors_, {});
    ExpectError(kind, part, [&] { LoadPictureModel(path, Device::kCpu, DType::kF32); });
  }
  void Accepted() const { Refused(ErrorKind::kFormat, "vae_ch160v4096z32.pth: is not a check"); }

  TempFolder files_;
  std::map<std::string, Tensor> tensors_;
};

TEST_F(OfficialVar, HasTheDepthThatItsWidthSays) {
  Accepted();
  std::erase_if(tensors_, [](const auto& item) { return item.first.starts_with("blocks.1."); });
  Refused(ErrorKind::kFormat,
          "var_d2.safetensors: has 1 blocks of width 128, but a published model of this width has "
          "2: the file is cut");
  files_.Write("var_d2.json", Config(1).dump());
  Accepted();
}

TEST_F(OfficialVar, IsNamedWhereItsSizesMakeNoConfig) {
  tensors_["class_emb.weight"] = Tensor({1, 128}, DType::kF32);
  Refused(ErrorKind::kConfig,
          "var_d2.safetensors (config told by the sizes of the weights): field 'num_classes'");
}

TEST_F(OfficialVar, MayComeOutOfDataParallel) {
  std::map<std::string, Tensor> wrapped;
  for (const auto& [name, tensor] : tensors_) wrapped["module." + name] = tensor;
  tensors_ = wrapped;
  Accepted();
}

TEST_F(OfficialVar, IsNotItsTokenizer) {
  tensors_ = {{"decoder.conv_in.weight", Tensor({1}, DType::kF32)},
              {"quantize.embedding.weight", Tensor({1}, DType::kF32)}};
  Refused(ErrorKind::kConfig, "it looks like the image tokenizer (VQVAE) of a next-scale model");
}

}  // namespace
}  // namespace gesso
