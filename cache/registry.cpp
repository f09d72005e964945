#include "cache/registry.h"

#include "cache/depth/depth_switch.h"
#include "cache/kv/scalekv.h"
#include "cache/tokens/fastvar.h"

namespace gesso::cache {

namespace {

// Completes an entry by the policy's class, which is made from its options.
template <class Hooks, class Options>
PolicyInfo Entry(PolicyInfo info) {
  info.options = ListOptions<Options>();
  info.make = [](std::string_view text) -> Policy {
    return [options = ParseOptions<Options>(text)] { return std::make_unique<Hooks>(options); };
  };
  return info;
}

const PolicyInfo& FindPolicy(std::string_view name) {
  std::string names;
  for (const PolicyInfo& info : Policies()) {
    if (info.name == name) return info;
    names += (names.empty() ? "" : ", ") + info.name;
  }
  Fail(ErrorKind::kUsage, "there is no cache policy '{}' (policies: {})", name, names);
}

// Calls visit(info, options) for every policy of "name:options+name:options".
template <class Visit>
void ForEachPart(std::string_view text, const Visit& visit) {
  while (true) {
    const size_t plus = text.find('+');
    const auto [name, options] = SplitMethod(text.substr(0, plus));
    visit(FindPolicy(name), options);
    if (plus == std::string_view::npos) return;
    text.remove_prefix(plus + 1);
  }
}

}  // namespace

const std::vector<PolicyInfo>& Policies() {
  static const std::vector<PolicyInfo> kTable = {
      // name, help, paper, what it decides
      Entry<FastVar, FastVarOptions>(
          {"fastvar",
           "late scales compute only the tokens that stand out",
           "Guo et al. 2025, FastVAR: linear visual autoregressive modeling via cached token "
           "pruning",
           {.scales = true, .tokens = true}}),
      Entry<DepthSwitch, DepthSwitchOptions>(
          {"depth",
           "late scales run through a part of the layers; for models trained to stand it",
           "Chen et al. 2025, Progressive supernet training for efficient visual autoregressive "
           "modeling",
           {.layers = true}}),
      Entry<ScaleKv, ScaleKvOptions>(
          {"scalekv",
           "layers keep the keys that matter, a tenth of all",
           "Li et al. 2025, Memory-efficient visual autoregressive modeling with scale-aware KV "
           "cache compression",
           {.keys = true}}),
  };
  return kTable;
}

Policy MakePolicy(std::string_view text) {
  struct Part {
    const PolicyInfo* info;
    Policy policy;
  };
  std::vector<Part> parts;
  ForEachPart(text, [&](const PolicyInfo& info, std::string_view options) {
    parts.push_back({&info, WithContext(info.name, [&] { return info.make(options); })});
  });
  Policy policy = [parts] {
    std::vector<NamedHooks> hooks;
    for (const Part& part : parts) {
      hooks.push_back({part.info->name, part.info->decides, part.policy()});
    }
    return Combine(std::move(hooks));
  };
  policy();  // says now what does not go together
  return policy;
}

Decides DecidesOf(std::string_view text) {
  Decides all;
  ForEachPart(text, [&](const PolicyInfo& info, std::string_view) {
    all.scales |= info.decides.scales;
    all.layers |= info.decides.layers;
    all.tokens |= info.decides.tokens;
    all.keys |= info.decides.keys;
  });
  return all;
}

}  // namespace gesso::cache
