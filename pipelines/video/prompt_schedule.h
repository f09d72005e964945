// Prompts that follow each other in a clip.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gesso {

struct ScheduledPrompt {
  int64_t frame;  // from which it holds
  std::string prompt;
  bool operator==(const ScheduledPrompt&) const = default;
};

// "0:a red car moves left|24:a blue car moves left": at least one prompt, the first at frame 0,
// frames rising. Throws kUsage.
std::vector<ScheduledPrompt> ParsePromptSchedule(const std::string& text);

// Which of the prompts holds at `frame` >= 0.
size_t PromptAt(const std::vector<ScheduledPrompt>& schedule, int64_t frame);

}  // namespace gesso
