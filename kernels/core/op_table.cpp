#include "kernels/core/op_table.h"

#include <functional>
#include <map>
#include <string>

namespace gesso {

namespace {

// Set once by the command line before anything runs; read-only afterwards.
std::map<std::string, std::string, std::less<>>& Forced() {
  static std::map<std::string, std::string, std::less<>> forced;
  return forced;
}

}  // namespace

std::string_view ForcedImplementation(std::string_view op) {
  const auto found = Forced().find(op);
  return found == Forced().end() ? std::string_view{} : std::string_view(found->second);
}

bool IsForcedElsewhere(std::string_view op, std::string_view implementation) {
  const std::string_view forced = ForcedImplementation(op);
  return !forced.empty() && forced != implementation;
}

void ForceImplementation(std::string_view op, std::string_view implementation) {
  Forced()[std::string(op)] = implementation;
}

}  // namespace gesso
