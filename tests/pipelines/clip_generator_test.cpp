#include "pipelines/video/clip_generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "kernels/core/parallel.h"
#include "models/io/json.h"
#include "models/io/output_file.h"
#include "pipelines/fingerprint.h"
#include "pipelines/generator.h"
#include "pipelines/media/image_file.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;
using Pixels = std::vector<std::vector<uint8_t>>;

const std::string kModels = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/";

class Collector : public ClipObserver {
 public:
  void OnStep(const ClipStep& step) override {
    if (step.progress == 0) ++windows[step.window];
    EXPECT_LT(step.window, step.windows);
    if (step.window == cancel_in) Fail(ErrorKind::kCancelled, "enough");
    total = step.windows;
  }
  void OnFrame(const Image& frame) override { frames.push_back(frame.pixels); }

  std::map<int64_t, int> windows;  // that were sampled, not loaded
  int64_t total = 0;
  int64_t cancel_in = -1;
  Pixels frames;
};

Request Ball(int64_t frames = 8) {
  Request request;
  request.model = kModels + "tiny-video";
  request.prompt = "a ball";
  request.seed = 7;
  request.frames = frames;
  return request;
}

Pixels FramesOf(const Request& request) {
  ClipGenerator generator(Device::kCpu);
  Collector collector;
  const Request resolved = generator.Resolve(request);
  generator.Run(resolved, nullptr, collector);
  EXPECT_EQ(static_cast<int64_t>(collector.frames.size()), generator.FormatOf(resolved).frames);
  EXPECT_EQ(static_cast<int64_t>(collector.windows.size()), collector.total);
  return collector.frames;
}

double Difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(int{a[i]} - int{b[i]});
  return sum / static_cast<double>(a.size());
}

Pixels First(const Pixels& frames, size_t count) {
  return {frames.begin(), frames.begin() + static_cast<ptrdiff_t>(count)};
}

void ExpectRefused(const std::string& word, const Request& request) {
  ExpectError(ErrorKind::kUsage, {word}, [&] { FramesOf(request); });
}

TEST(ClipGenerator, FillsInTheModelsDefaults) {
  ClipGenerator generator(Device::kCpu);
  Request request = Ball();
  request.frames.reset();
  const Request resolved = generator.Resolve(request);
  EXPECT_EQ(resolved.frames, 8);
  EXPECT_EQ(resolved.fps, 8);
  EXPECT_EQ(resolved.steps, 4);
  EXPECT_EQ(resolved.width, 16);
  EXPECT_FALSE(resolved.batch_count.has_value());
}

TEST(ClipGenerator, GivesTheSameFramesOnAnyNumberOfThreads) {
  const int threads = NumThreads();
  SetNumThreads(1);
  const Pixels one = FramesOf(Ball(12));
  SetNumThreads(3);
  EXPECT_EQ(FramesOf(Ball(12)), one);
  SetNumThreads(threads);
  EXPECT_NE(one[0], one[5]);
}

TEST(ClipGenerator, AShorterClipIsTheBeginningOfALongerOne) {
  const Pixels eight = FramesOf(Ball(8));
  EXPECT_EQ(FramesOf(Ball(3)), First(eight, 3));
  EXPECT_EQ(FramesOf(Ball(1)), First(eight, 1));
  // Parts of 8 frames that share 2: frame 6 is the second part's, which holds it in place.
  const Pixels twenty = FramesOf(Ball(20));
  EXPECT_EQ(First(twenty, 7), First(eight, 7));
  EXPECT_NE(twenty[7], eight[7]);
  EXPECT_EQ(First(FramesOf(Ball(30)), 18), First(twenty, 18));
}

TEST(ClipGenerator, HeedsPromptGuidanceAndSeed) {
  const Pixels ball = FramesOf(Ball());
  Request other = Ball();
  other.prompt = "a cat";
  EXPECT_NE(FramesOf(other), ball);
  other = Ball();
  other.cfg_scale = 1;
  EXPECT_NE(FramesOf(other), ball);
  other = Ball();
  other.seed = 8;
  EXPECT_NE(FramesOf(other), ball);
  other = Ball();
  other.cfg_rescale = 0.5;
  EXPECT_NE(FramesOf(other), ball);
}

TEST(ClipGenerator, ChangesThePromptAtItsFrame) {
  Request plain = Ball(20);
  Request scheduled = Ball(20);
  scheduled.prompt.reset();
  scheduled.prompt_schedule = "0:a ball";
  EXPECT_EQ(FramesOf(scheduled), FramesOf(plain));
  // In the second part, which begins with frame 6.
  scheduled.prompt_schedule = "0:a ball|9:a cat";
  const Pixels changed = FramesOf(scheduled);
  EXPECT_EQ(First(changed, 6), First(FramesOf(plain), 6));
  EXPECT_NE(changed[10], FramesOf(plain)[10]);
  scheduled.prompt = "a ball";
  ExpectRefused("give one of them", scheduled);
  scheduled.prompt.reset();
  scheduled.prompt_schedule = "0:a ball|20:a cat";
  ExpectRefused("frame 20 lies beyond the clip's 20 frames", scheduled);
}

TEST(ClipGenerator, KeepsTheFirstFrame) {
  const TempFolder folder;
  Image image{16, 16, 3, std::vector<uint8_t>(16 * 16 * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<uint8_t>(i * 31 % 256);
  }
  WriteFile(folder.path() / "first.png", EncodePng(image, {}), true);
  Request request = Ball(12);
  request.init_image = (folder.path() / "first.png").string();
  const Pixels frames = FramesOf(request);
  EXPECT_EQ(frames[0], image.pixels);
  EXPECT_NE(frames[1], FramesOf(Ball(12))[1]);
  request.sampling_method = "euler_ancestral";
  EXPECT_LE(Difference(FramesOf(request)[0], image.pixels), 0.01);
  request.init_image = "nix.png";
  EXPECT_THROW(FramesOf(request), Error);
}

TEST(ClipGenerator, LoopsShortClips) {
  Request request = Ball(6);
  request.loop = true;
  const Pixels frames = FramesOf(request);
  ASSERT_EQ(frames.size(), 6u);
  EXPECT_NE(frames, FramesOf(Ball(6)));
}

TEST(ClipGenerator, LeadsALongLoopBackToItsFirstFrames) {
  Request request = Ball(30);
  request.loop = true;
  const Pixels loop = FramesOf(request);
  const Pixels plain = FramesOf(Ball(30));
  ASSERT_EQ(loop.size(), 30u);
  EXPECT_EQ(First(loop, 24), First(plain, 24));
  EXPECT_NE(loop[29], plain[29]);
}

TEST(ClipGenerator, PaintsFramesBetweenTheSampledOnes) {
  const Pixels sampled = FramesOf(Ball(11));
  Request request = Ball(11);
  request.interpolate = 2;
  ClipGenerator generator(Device::kCpu);
  const ClipFormat format = generator.FormatOf(generator.Resolve(request));
  EXPECT_EQ(format.frames, 31);
  EXPECT_EQ(format.fps, 24);
  const Pixels frames = FramesOf(request);
  for (size_t i = 0; i < sampled.size(); ++i) EXPECT_EQ(frames[3 * i], sampled[i]) << i;
  EXPECT_NE(frames[1], frames[0]);
  EXPECT_NE(frames[1], frames[2]);
  request.loop = true;
  const Pixels loop = FramesOf(request);
  EXPECT_EQ(loop.size(), 33u);
  EXPECT_NE(loop[31], loop[30]);
  request.interpolate = 7;
  ExpectRefused("6 between two at most", request);
}

TEST(ClipGenerator, GoesOnFromFinishedWindows) {
  const TempFolder temporary;
  const fs::path folder = temporary.path() / "a.work";
  ClipGenerator generator(Device::kCpu);
  Request request = Ball(40);
  request.interpolate = 1;
  const Request resolved = generator.Resolve(request);
  const Pixels whole = FramesOf(request);
  Collector cut;
  cut.cancel_in = 4;
  const WindowStore fresh = WindowStore::Create(folder, resolved);
  EXPECT_TRUE(fresh.IsEmpty());
  EXPECT_THROW(generator.Run(resolved, &fresh, cut), Error);
  EXPECT_FALSE(fresh.IsEmpty());
  EXPECT_TRUE(fs::exists(folder / "window-000003.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "window-000004.safetensors"));
  EXPECT_EQ(WindowStore::SavedRequest(folder), resolved);
  const WindowStore store = WindowStore::Resume(folder, resolved);
  Collector rest;
  generator.Run(resolved, &store, rest);
  EXPECT_EQ(rest.frames, whole);
  EXPECT_EQ(rest.windows.count(3), 0u);
  EXPECT_EQ(rest.windows.count(4), 1u);
  Request other = resolved;
  other.steps = 9;
  ExpectError(ErrorKind::kUsage, {"a.work", "other settings (steps)"},
              [&] { WindowStore::Resume(folder, other); });
  ExpectError(ErrorKind::kOutput, {"it exists"}, [&] { WindowStore::Create(folder, resolved); });
  WriteFile(folder / "window-000002.safetensors", "damaged", true);
  ExpectError(ErrorKind::kFormat, {"window-000002.safetensors"},
              [&] { generator.Run(resolved, &store, rest); });
  std::ofstream(folder / "mine") << "x";
  WindowStore::Remove(folder);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);  // not ours, left alone
}

TEST(ClipGenerator, DoesNotGoOnWithAnotherModelOrFirstFrame) {
  const TempFolder temporary;
  const fs::path model = temporary.path() / "model";
  fs::copy(kModels + "tiny-video", model, fs::copy_options::recursive);
  const std::string picture =
      temporary.Write("first.png", EncodePng(Image{4, 4, 3, std::vector<uint8_t>(48, 9)}, {}));
  Request request = Ball(40);
  request.model = model.string();
  request.init_image = picture;
  ClipGenerator generator(Device::kCpu);
  const Request resolved = generator.Resolve(request);
  const fs::path folder = temporary.path() / "a.work";
  WindowStore::Create(folder, resolved);
  temporary.Write("model/README.md", "of no consequence");
  WindowStore::Resume(folder, resolved);
  const fs::path weights = model / "denoiser" / "model.safetensors";
  std::string bytes = ReadFile(weights, size_t{64} << 20);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  WriteFile(weights, bytes, true);
  ExpectError(ErrorKind::kFormat, {"a.work", "other files (denoiser/model.safetensors);"},
              [&] { WindowStore::Resume(folder, resolved); });
  temporary.Write("first.png", EncodePng(Image{4, 4, 3, std::vector<uint8_t>(48, 8)}, {}));
  temporary.Write("model/more.json", "{}");
  ExpectError(ErrorKind::kFormat, {"(denoiser/model.safetensors, first.png, more.json)"},
              [&] { WindowStore::Resume(folder, resolved); });
}

TEST(Fingerprint, SeesAnyByteOfSmallFilesAndSlicesOfLargeOnes) {
  const TempFolder folder;
  const auto of = [&](const std::string& content) {
    return FingerprintOf(folder.Write("a.bin", content));
  };
  EXPECT_EQ(of(""), Json({{"a.bin", "0 bytes, 0000000000000000"}}));
  EXPECT_EQ(of("foobar"), Json({{"a.bin", "6 bytes, 85944171f73967e8"}}));  // of FNV's test suite
  const std::string large(size_t{48} << 20, 'x');
  const Json before = of(large);
  EXPECT_EQ(of(large), before);
  // The beginning with the header, somewhere between, the end.
  for (const size_t at : {size_t{0}, (size_t{4} << 20) - 1, large.size() - 1}) {
    std::string other = large;
    other[at] = 'y';
    EXPECT_NE(of(other), before) << at;
  }
  std::string other = large;
  std::fill_n(other.begin() + (size_t{20} << 20), size_t{1} << 20, 'y');  // a tensor
  EXPECT_NE(of(other), before);
  EXPECT_NE(of(large + "x"), before);
}

TEST(ClipGenerator, RefusesWhatHasNoEffect) {
  Request request = Ball();
  request.strength = 0.5;
  ExpectRefused("strength: has no effect", request);
  request = Ball();
  request.batch_count = 2;
  ExpectRefused("batch_count: has no effect", request);
  request = Ball();
  request.overlap = 2;
  ExpectRefused("overlap: has no effect", request);
  request = Ball();
  request.width = 18;
  ExpectRefused("16 or 20", request);
  request = Ball();
  request.model = kModels + "tiny-hdit";
  ExpectRefused("makes pictures", request);
}

class PictureObserver : public GenerateObserver {
 public:
  void OnStep(const StepReport& /*step*/) override {}
  void OnPicture(const Picture& picture) override { pixels.push_back(picture.image.pixels); }
  Pixels pixels;
};

Pixels PicturesOf(const Request& request) {
  Generator generator(Device::kCpu);
  PictureObserver observer;
  generator.Run(generator.Resolve(request), observer);
  return observer.pixels;
}

// The same network with a token frame of one makes pictures.
TEST(BidirectionalMamba, MakesPicturesBehindGenerate) {
  const TempFolder temporary;
  const fs::path folder = temporary.path() / "tiny-dim";
  fs::copy(kModels + "tiny-video", folder, fs::copy_options::recursive);
  Json config = ReadJson(folder / "denoiser" / "config.json");
  config["input_size"] = {1, 16, 16};
  WriteFile(folder / "denoiser" / "config.json", config.dump(), true);
  Json index = ReadJson(folder / "model_index.json");
  index["defaults"].erase("frames");
  index["defaults"].erase("fps");
  WriteFile(folder / "model_index.json", index.dump(), true);
  Request request;
  request.model = folder.string();
  request.prompt = "a cat";
  request.seed = 3;
  request.batch_count = 3;
  const Pixels three = PicturesOf(request);
  ASSERT_EQ(three.size(), 3u);
  request.batch_count = 1;
  request.seed = 4;
  EXPECT_EQ(PicturesOf(request).at(0), three[1]);
  request.prompt = "a dog";
  EXPECT_NE(PicturesOf(request).at(0), three[1]);
  request.width = 24;
  EXPECT_EQ(PicturesOf(request).at(0).size(), 24u * 16 * 3);
  request.frames = 4;
  EXPECT_THROW(PicturesOf(request), Error);
  ClipGenerator clips(Device::kCpu);
  request = Request{};
  request.model = folder.string();
  request.prompt = "a cat";
  ExpectError(ErrorKind::kUsage, {"makes pictures, not clips"}, [&] { clips.Resolve(request); });
  request.model = kModels + "tiny-video";
  ExpectError(ErrorKind::kUsage, {"use gesso video"}, [&] { PicturesOf(request); });
}

}  // namespace
}  // namespace gesso
