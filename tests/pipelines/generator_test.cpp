#include "pipelines/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "kernels/core/parallel.h"
#include "models/io/output_file.h"
#include "pipelines/installed_models.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/metadata.h"
#include "samplers/registry.h"
#include "tests/support/pictures.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

const std::string kModels = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/";

class Collector : public GenerateObserver {
 public:
  void OnStep(const StepReport& step) override {
    ++steps;
    EXPECT_EQ(static_cast<int64_t>(step.preview().size()), step.count);
    if (steps == cancel_at) Fail(ErrorKind::kCancelled, "enough");
  }
  void OnPicture(const Picture& picture) override { pictures.push_back(picture); }

  std::vector<Picture> pictures;
  int64_t steps = 0;
  int64_t cancel_at = -1;
};

Request Cat() { return testing_support::TinyCat(); }

std::vector<Picture> Generate(const Request& request) {
  return testing_support::PicturesOf<Collector>(request);
}

std::vector<uint8_t> PixelsOf(const Request& request) {
  const std::vector<Picture> pictures = Generate(request);
  EXPECT_EQ(pictures.size(), 1u);
  return pictures.at(0).image.pixels;
}

TEST(Generator, FillsInTheModelsDefaults) {
  const Request settings = Generate(Cat()).at(0).request;
  EXPECT_EQ(settings.width, 32);
  EXPECT_EQ(settings.steps, 4);
  EXPECT_EQ(settings.cfg_scale, 2.0);
  EXPECT_EQ(settings.sampling_method, "dpmpp_2m");
  EXPECT_EQ(settings.seed, 7u);
}

TEST(Generator, GivesTheSamePictureInAnyBatch) {
  Request batch = Cat();
  batch.batch_count = 9;  // more than are made together
  const std::vector<Picture> pictures = Generate(batch);
  ASSERT_EQ(pictures.size(), 9u);
  for (uint64_t i = 0; i < 9; ++i) {
    Request single = Cat();
    single.seed = 7 + i;
    EXPECT_EQ(PixelsOf(single), pictures[i].image.pixels) << i;
    EXPECT_EQ(pictures[i].index, static_cast<int64_t>(i));
  }
  EXPECT_NE(pictures[0].image.pixels, pictures[1].image.pixels);
}

TEST(Generator, GivesTheSamePictureInAnyBatchWithEverySampler) {
  for (const SamplerInfo& sampler : Samplers()) {
    Request batch = Cat();
    batch.sampling_method = sampler.name;
    batch.batch_count = 2;
    Request second = batch;
    second.seed = 8;
    second.batch_count = 1;
    EXPECT_EQ(Generate(batch).at(1).image.pixels, PixelsOf(second)) << sampler.name;
  }
}

TEST(Generator, GivesTheSamePictureOnAnyNumberOfThreads) {
  const int threads = NumThreads();
  SetNumThreads(1);
  const std::vector<uint8_t> one = PixelsOf(Cat());
  SetNumThreads(3);
  const std::vector<uint8_t> three = PixelsOf(Cat());
  SetNumThreads(threads);
  EXPECT_EQ(one, three);
}

TEST(Generator, MakesAPictureAgainFromItsMetadata) {
  Request request = Cat();
  request.negative_prompt = "a dog";
  request.cfg_rescale = 0.5;
  request.guidance_interval = Interval{0.1, 20};
  request.sampling_method = "dpmpp_2m_sde:eta=0.5";
  request.width = 48;
  request.batch_count = 2;
  const Picture picture = Generate(request).at(1);
  const std::string png = EncodePng(picture.image, MetadataOf({picture.request}));
  const std::vector<Request> settings = ParseMetadata(png, "test.png");
  ASSERT_EQ(settings.size(), 1u);
  EXPECT_EQ(PixelsOf(settings[0]), DecodeImage(png, 3, "test.png").pixels);
}

TEST(Generator, HeedsPromptNegativePromptAndGuidance) {
  const std::vector<uint8_t> cat = PixelsOf(Cat());
  Request other = Cat();
  other.prompt = "a dog";
  EXPECT_NE(PixelsOf(other), cat);
  other = Cat();
  other.negative_prompt = "a dog";
  EXPECT_NE(PixelsOf(other), cat);
  other = Cat();
  other.cfg_scale = 1;
  const std::vector<uint8_t> unguided = PixelsOf(other);
  EXPECT_NE(unguided, cat);
  other.negative_prompt = "a dog";  // nothing to lead away from: refused, not ignored
  EXPECT_THROW(PixelsOf(other), Error);
  other = Cat();
  other.guidance_interval = Interval{1000, 2000};  // never reached
  EXPECT_EQ(PixelsOf(other), unguided);
}

class ImageToImage : public ::testing::Test {
 protected:
  ImageToImage()
      : path_(fs::temp_directory_path() / ("gesso_init_" + std::to_string(getpid()) + ".png")),
        init_{32, 32, 3, std::vector<uint8_t>(32 * 32 * 3)} {
    for (size_t i = 0; i < init_.pixels.size(); ++i) {
      init_.pixels[i] = static_cast<uint8_t>(i * 31 % 256);
    }
    WriteFile(path_, EncodePng(init_, {}), true);
  }
  ~ImageToImage() override { fs::remove(path_); }

  std::vector<uint8_t> At(double strength) const {
    Request request = Cat();
    request.init_image = path_.string();
    request.strength = strength;
    return PixelsOf(request);
  }

  fs::path path_;
  Image init_;
};

TEST_F(ImageToImage, OfStrengthZeroKeepsThePicture) { EXPECT_EQ(At(0), init_.pixels); }

TEST_F(ImageToImage, OfStrengthOneIgnoresThePicture) { EXPECT_EQ(At(1), PixelsOf(Cat())); }

TEST_F(ImageToImage, InBetweenTakesSomeOfTheSteps) {
  Generator generator(Device::kCpu);
  Collector collector;
  Request request = Cat();
  request.init_image = path_.string();
  request.strength = 0.5;
  generator.Run(generator.Resolve(request), collector);
  EXPECT_EQ(collector.steps, 2);  // of 4
  EXPECT_NE(collector.pictures.at(0).image.pixels, init_.pixels);
  EXPECT_NE(collector.pictures.at(0).image.pixels, PixelsOf(Cat()));
}

TEST(Generator, RunsABareClassConditionalCheckpoint) {
  Request request;
  request.model = kModels + "tiny-classes.safetensors";
  request.steps = 3;
  request.seed = 1;
  request.class_label = 0;
  const Picture zero = Generate(request).at(0);
  EXPECT_EQ(zero.image.channels, 1);
  EXPECT_EQ(zero.image.width, 16);
  request.class_label = 2;
  EXPECT_NE(PixelsOf(request), zero.image.pixels);
  request.class_label = 3;
  EXPECT_THROW(Generate(request), Error);
}

TEST(Generator, StopsWhereTheObserverThrows) {
  Generator generator(Device::kCpu);
  Collector collector;
  collector.cancel_at = 6;  // in the second of two batches of 8 and 1
  Request request = Cat();
  request.batch_count = 9;
  EXPECT_THROW(generator.Run(generator.Resolve(request), collector), Error);
  EXPECT_EQ(collector.pictures.size(), 8u);
}

TEST(Generator, NamesTheNearestSizes) {
  Request request = Cat();
  request.width = 45;
  try {
    Generate(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("40 or 48"));
  }
}

TEST(InstalledModels, AreFoundByName) {
  setenv("GESSO_MODELS", ("/nowhere:" + kModels).c_str(), 1);
  EXPECT_EQ(FindModel("tiny-hdit"), fs::path(kModels) / "tiny-hdit");
  EXPECT_EQ(FindModel("tiny-classes"), fs::path(kModels) / "tiny-classes.safetensors");
  EXPECT_THROW(FindModel("nix"), Error);
  unsetenv("GESSO_MODELS");
}

TEST(InstalledModels, AreNotLookedForInTheCurrentFolderWithoutAHome) {
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  unsetenv("HOME");
  unsetenv("XDG_DATA_HOME");
  for (const fs::path& folder : ModelFolders()) EXPECT_TRUE(folder.is_absolute()) << folder;
  setenv("HOME", "/nowhere", 1);
  EXPECT_THAT(ModelFolders(), Contains(fs::path("/nowhere/.local/share/gesso/models")));
  setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace gesso
