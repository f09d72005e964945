#include "pipelines/video/clip_plan.h"

#include <gtest/gtest.h>

#include "pipelines/video/prompt_schedule.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

TEST(PlanClip, MakesAShortClipInOnePart) {
  for (const int64_t frames : {1, 5, 16}) {
    const ClipPlan plan = PlanClip(frames, 16, 4, false);
    EXPECT_EQ(plan.length, 16);
    EXPECT_FALSE(plan.rolled);
    ASSERT_EQ(plan.parts.size(), 1u);
    EXPECT_EQ(plan.parts[0].end, frames);
  }
  const ClipPlan loop = PlanClip(6, 16, 4, true);
  EXPECT_EQ(loop.length, 6);
  EXPECT_TRUE(loop.rolled);
}

// Every frame is in exactly one part's share, and parts are long enough for what follows them.
TEST(PlanClip, CoversEveryFrameOnce) {
  for (const bool loop : {false, true}) {
    for (int64_t frames = 17; frames < 80; ++frames) {
      SCOPED_TRACE(frames);
      const ClipPlan plan = PlanClip(frames, 16, 5, loop);
      ASSERT_GT(plan.parts.size(), 1u);
      int64_t next = 0;
      for (size_t i = 0; i < plan.parts.size(); ++i) {
        const ClipPart& part = plan.parts[i];
        EXPECT_EQ(part.first, next);
        EXPECT_GT(part.end, part.first);
        EXPECT_EQ(part.head, i == 0 ? 0 : 5);
        EXPECT_LE(part.end, part.first + 16);
        if (i + 1 < plan.parts.size()) {  // has made what the next one begins with
          EXPECT_LE(part.end + 5, part.first + 16);
        }
        next = part.end;
      }
      EXPECT_EQ(next, frames);
      EXPECT_EQ(plan.parts.back().tail, loop ? 5 : 0);
      if (loop) {  // ends on the clip's first frames, with free ones before them
        EXPECT_EQ(plan.parts.back().first + 16, frames + 5);
      }
    }
  }
}

TEST(PlanClip, RefusesWhatCannotBeJoined) {
  ExpectError(ErrorKind::kUsage, {"share 7 at most, not 8"}, [] { PlanClip(17, 16, 8, false); });
  ExpectError(ErrorKind::kUsage, {"one frame"}, [] { PlanClip(1, 16, 4, true); });
}

TEST(PromptSchedule, SplitsAtFrames) {
  const auto schedule = ParsePromptSchedule("0:a car: red|24:a car, blue|100:");
  EXPECT_EQ(schedule,
            (std::vector<ScheduledPrompt>{{0, "a car: red"}, {24, "a car, blue"}, {100, ""}}));
  EXPECT_EQ(PromptAt(schedule, 0), 0u);
  EXPECT_EQ(PromptAt(schedule, 23), 0u);
  EXPECT_EQ(PromptAt(schedule, 24), 1u);
  EXPECT_EQ(PromptAt(schedule, 5000), 2u);
}

TEST(PromptSchedule, NamesWhatIsWrong) {
  for (const char* wrong : {"", "a cat", "x:a cat", "-1:a cat", "0:a|", ":a"}) {
    ExpectError(ErrorKind::kUsage, {"FRAME:PROMPT"}, [&] { ParsePromptSchedule(wrong); });
  }
  ExpectError(ErrorKind::kUsage, {"from frame 0, not 3"}, [] { ParsePromptSchedule("3:a"); });
  ExpectError(ErrorKind::kUsage, {"frame 5 does not come after frame 5"},
              [] { ParsePromptSchedule("0:a|5:b|5:c"); });
}

}  // namespace
}  // namespace gesso
