// All ops by name, with the names of their implementations: what --kernel chooses from.
#pragma once

#include <string_view>
#include <vector>

namespace gesso {

struct OpNames {
  std::string_view op;
  std::vector<std::string_view> implementations;  // of this build, the first that accepts runs
};

// One for every table in kernels/*.h.
std::vector<OpNames> Ops();

// Throws kUsage, listing what there is, for an unknown op or an implementation that it has not.
void RequireImplementation(std::string_view op, std::string_view implementation);

}  // namespace gesso
