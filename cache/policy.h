// Policies that make next-scale models cheaper, by name and combined: what `--cache` takes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/hooks.h"

namespace gesso::cache {

// What a policy decides. Two that decide the same cannot be combined.
struct Decides {
  bool scales = false;
  bool layers = false;
  bool tokens = false;
  bool keys = false;
};

// One policy among those combined.
struct NamedHooks {
  std::string name;
  Decides decides;
  std::unique_ptr<Hooks> hooks;
};

// Hooks that ask each policy what it decides. Throws kUsage, with the reason, for policies that do
// not go together.
std::unique_ptr<Hooks> Combine(std::vector<NamedHooks> policies);

// Makes hooks for one session.
using Policy = std::function<std::unique_ptr<Hooks>()>;

}  // namespace gesso::cache
