#include "pipelines/video/prompt_schedule.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "kernels/core/error.h"

namespace gesso {

namespace {

ScheduledPrompt ParsePart(std::string_view part) {
  const size_t colon = part.find(':');
  int64_t frame = 0;
  const char* end = part.data() + std::min(colon, part.size());
  const auto [stop, error] = std::from_chars(part.data(), end, frame);
  Require(colon != std::string_view::npos && error == std::errc{} && stop == end && frame >= 0,
          ErrorKind::kUsage, "prompt_schedule: expected FRAME:PROMPT, got '{}'", part);
  return {frame, std::string(part.substr(colon + 1))};
}

}  // namespace

std::vector<ScheduledPrompt> ParsePromptSchedule(const std::string& text) {
  std::vector<ScheduledPrompt> schedule;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('|', begin), text.size());
    schedule.push_back(ParsePart(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  Require(schedule.front().frame == 0, ErrorKind::kUsage,
          "prompt_schedule: the first prompt must hold from frame 0, not {}",
          schedule.front().frame);
  for (size_t i = 1; i < schedule.size(); ++i) {
    Require(schedule[i].frame > schedule[i - 1].frame, ErrorKind::kUsage,
            "prompt_schedule: frame {} does not come after frame {}", schedule[i].frame,
            schedule[i - 1].frame);
  }
  return schedule;
}

size_t PromptAt(const std::vector<ScheduledPrompt>& schedule, int64_t frame) {
  const auto after = std::ranges::upper_bound(schedule, frame, {}, &ScheduledPrompt::frame);
  CHECK(after != schedule.begin());
  return static_cast<size_t>(after - schedule.begin()) - 1;
}

}  // namespace gesso
