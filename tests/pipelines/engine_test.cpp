#include "pipelines/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "pipelines/generator.h"
#include "pipelines/song_painter.h"

namespace gesso {
namespace {

using ::testing::HasSubstr;

Request Cat(uint64_t seed) {
  Request request;
  request.model = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/tiny-hdit";
  request.prompt = "a cat";
  request.seed = seed;
  return request;
}

std::vector<JobId> IdsOf(const EngineSnapshot& snapshot) {
  std::vector<JobId> ids;
  for (const auto& status : snapshot) ids.push_back(status->id);
  return ids;
}

// A job that runs until `open` is set, so that others wait behind it.
Job Gate(const std::atomic<bool>& open) {
  return {Cat(1), [&open](Request&) {
            while (!open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }};
}

class Pictures : public GenerateObserver {
 public:
  void OnStep(const StepReport&) override {}
  void OnPicture(const Picture& picture) override { pixels.push_back(picture.image.pixels); }
  std::vector<std::vector<uint8_t>> pixels;
};

TEST(Engine, MakesTheGeneratorsPictures) {
  Request request = Cat(7);
  request.batch_count = 3;
  Engine engine(Device::kCpu);
  engine.Submit({request});
  engine.Wait();
  Generator generator(Device::kCpu);
  Pictures expected;
  generator.Run(generator.Resolve(request), expected);
  const auto snapshot = engine.snapshot();
  ASSERT_EQ(snapshot->size(), 1u);
  const JobStatus& job = *snapshot->front();
  EXPECT_EQ(job.state, JobState::kDone);
  EXPECT_EQ(job.progress, 1);
  EXPECT_EQ(job.request, generator.Resolve(request));
  ASSERT_EQ(job.pictures.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(job.pictures[i]->image.pixels, expected.pixels[i]) << i;
}

TEST(Engine, MakesAnErrorTheJobsResultAndGoesOn) {
  Engine engine(Device::kCpu);
  Request wrong = Cat(1);
  wrong.width = 45;
  const JobId failing = engine.Submit({wrong});
  engine.Submit({Cat(1), [](Request&) { Fail(ErrorKind::kOutput, "the disk is full"); }});
  engine.Submit({Cat(1)});
  engine.Wait();
  const auto snapshot = engine.snapshot();
  ASSERT_EQ(snapshot->size(), 3u);
  EXPECT_EQ(snapshot->at(0)->state, JobState::kFailed);
  EXPECT_EQ(snapshot->at(0)->error->kind(), ErrorKind::kUsage);
  EXPECT_THAT(snapshot->at(0)->error->what(), HasSubstr("40 or 48"));
  EXPECT_EQ(snapshot->at(1)->error->kind(), ErrorKind::kOutput);
  EXPECT_EQ(snapshot->at(2)->state, JobState::kDone);
  engine.Forget(failing);
  EXPECT_EQ(engine.snapshot()->size(), 2u);
}

TEST(Engine, LetsTheRequestBeFilledInBeforeItRuns) {
  Engine engine(Device::kCpu);
  engine.Submit({Cat(1), [](Request& request) { request.seed = 99; }});
  engine.Wait();
  EXPECT_EQ(engine.snapshot()->front()->request.seed, 99u);
  EXPECT_EQ(engine.snapshot()->front()->pictures.at(0)->request.seed, 99u);
}

TEST(Engine, TakesJobsInTheOrderOfTheQueue) {
  std::atomic<bool> open = false;
  Engine engine(Device::kCpu);
  const JobId gate = engine.Submit(Gate(open));
  while (engine.snapshot()->front()->state != JobState::kRunning) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const JobId a = engine.Submit({Cat(2)});
  const JobId b = engine.Submit({Cat(3)});
  const JobId c = engine.Submit({Cat(4)});
  engine.Move(c, 0);
  engine.Move(a, 99);
  EXPECT_EQ(IdsOf(*engine.snapshot()), (std::vector<JobId>{gate, c, b, a}));
  engine.Cancel(b);
  open = true;
  engine.Wait();
  EXPECT_EQ(IdsOf(*engine.snapshot()), (std::vector<JobId>{b, gate, c, a}));
  EXPECT_EQ(engine.snapshot()->front()->state, JobState::kCancelled);
  EXPECT_TRUE(engine.snapshot()->front()->pictures.empty());
}

TEST(Engine, StopsARunningJobAfterAStep) {
  Request long_one = Cat(1);
  long_one.steps = 10000;
  long_one.batch_count = 10000;
  Engine engine(Device::kCpu);
  const JobId id = engine.Submit({long_one});
  while (engine.snapshot()->front()->preview == nullptr) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto seen = engine.snapshot();  // stays as it is
  const double progress = seen->front()->progress;
  EXPECT_GE(progress, 0);
  EXPECT_LT(progress, 1);
  engine.Cancel(id);
  engine.Wait();
  EXPECT_EQ(engine.snapshot()->front()->state, JobState::kCancelled);
  EXPECT_EQ(engine.snapshot()->front()->preview, nullptr);
  EXPECT_EQ(seen->front()->state, JobState::kRunning);
  EXPECT_EQ(seen->front()->progress, progress);
}

TEST(Engine, EndsWithWorkStillWaiting) {
  std::atomic<int> news = 0;
  {
    Request long_one = Cat(1);
    long_one.steps = 10000;
    Engine engine(Device::kCpu, [&] { ++news; });
    for (int i = 0; i < 5; ++i) engine.Submit({long_one});
    EXPECT_GE(news, 5);
  }
  SUCCEED();  // the destructor came back although hours of work were left
}

TEST(Engine, ComposesWhatInpaintComposes) {
  const auto song = std::make_shared<const MidiFile>(
      ReadMidi(std::string(GESSO_SOURCE_DIR) + "/tests/data/midi/pop.mid"));
  const auto mask = std::make_shared<const Image>(BarMask(RollGrid(*song, "pop"), 5, 6));
  Engine engine(Device::kCpu);
  engine.Submit({.request = Cat(7), .song = SongPart{song, mask, "pop"}});
  Request wrong = Cat(7);
  wrong.outpaint = Margins{1, 1, 1, 1};
  engine.Submit({.request = wrong, .song = SongPart{song, mask, "pop"}});
  const auto black = std::make_shared<const Image>(
      Image{mask->width, mask->height, 1, std::vector<uint8_t>(mask->pixels.size(), 127)});
  engine.Submit({.request = Cat(7), .song = SongPart{song, black, "pop"}});
  engine.Wait();
  Generator generator(Device::kCpu);
  Pictures ignored;
  const auto snapshot = engine.snapshot();
  ASSERT_NE(snapshot->at(0)->song, nullptr);
  EXPECT_EQ(*snapshot->at(0)->song,
            ComposeAgain(generator, *song, *mask, Cat(7), ignored, "pop").song);
  EXPECT_NE(*snapshot->at(0)->song, *song);
  EXPECT_EQ(snapshot->at(0)->progress, 1);
  // The job's settings are complete, and make it again.
  const Request settings = snapshot->at(0)->request;
  EXPECT_EQ(settings.seed, 7);
  EXPECT_TRUE(settings.dtype && settings.steps && settings.sampling_method);
  EXPECT_FALSE(settings.init_image || settings.mask || settings.width || settings.mask_blur);
  const ComposedSong again = ComposeAgain(generator, *song, *mask, settings, ignored, "pop");
  EXPECT_EQ(again.song, *snapshot->at(0)->song);
  EXPECT_EQ(again.request, settings);
  EXPECT_TRUE(snapshot->at(0)->pictures.empty());
  EXPECT_THAT(snapshot->at(1)->error->what(), HasSubstr("outpaint: has no effect"));
  EXPECT_THAT(snapshot->at(2)->error->what(), HasSubstr("pop: the mask covers nothing"));
}

TEST(Engine, ForgetsThePicturesOfJobsThatAreOver) {
  Engine engine(Device::kCpu);
  const JobId id = engine.Submit({Cat(1)});
  engine.Wait();
  const std::weak_ptr<const Picture> picture = engine.snapshot()->front()->pictures.at(0);
  EXPECT_FALSE(picture.expired());
  engine.ForgetPictures(id + 1);  // none
  engine.ForgetPictures(id);
  EXPECT_TRUE(picture.expired());
  EXPECT_EQ(engine.snapshot()->front()->state, JobState::kDone);
  EXPECT_TRUE(engine.snapshot()->front()->pictures.empty());
}

TEST(Engine, OffersWhatIsRegistered) {
  EXPECT_GT(SamplerChoices().size(), 5u);
  EXPECT_GT(ScheduleChoices().size(), 3u);
  EXPECT_GT(CacheChoices().size(), 2u);
}

}  // namespace
}  // namespace gesso
