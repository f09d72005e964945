// The table of policies that make next-scale models cheaper: what help prints and tests walk.
// Adding one is its class and one line in registry.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/policy.h"
#include "kernels/core/options.h"

namespace gesso::cache {

struct PolicyInfo {
  std::string name;
  std::string help;
  std::string paper;
  Decides decides;
  std::vector<OptionInfo> options = {};
  std::function<Policy(std::string_view options)> make = nullptr;
};

const std::vector<PolicyInfo>& Policies();

// One policy or several: "fastvar", "fastvar:scales=3+depth:layers=8". Throws kUsage for an unknown
// name, an unknown option, a value out of range and policies that do not go together.
Policy MakePolicy(std::string_view text);

// What the policies of such a text decide together. Throws kUsage for an unknown name.
Decides DecidesOf(std::string_view text);

}  // namespace gesso::cache
