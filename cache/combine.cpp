#include <algorithm>

#include "cache/policy.h"

namespace gesso::cache {

namespace {

class Combined : public Hooks {
 public:
  explicit Combined(std::vector<NamedHooks> policies) : policies_(std::move(policies)) {
    for (const NamedHooks& policy : policies_) {
      if (policy.decides.tokens) tokens_ = policy.hooks.get();
      if (policy.decides.keys) keys_ = policy.hooks.get();
    }
  }

  void Begin(std::span<const TokenMap> schedule, int64_t layers) override {
    for (const NamedHooks& policy : policies_) {
      WithContext(policy.name, [&] { policy.hooks->Begin(schedule, layers); });
    }
  }

  std::unique_ptr<Hooks> Fork(std::span<const int64_t> rows) const override {
    std::vector<NamedHooks> fork;
    for (const NamedHooks& policy : policies_) {
      fork.push_back({policy.name, policy.decides, policy.hooks->Fork(rows)});
    }
    return std::make_unique<Combined>(std::move(fork));
  }

  bool RunsScale(int64_t scale) const override {
    return std::ranges::all_of(
        policies_, [&](const NamedHooks& policy) { return policy.hooks->RunsScale(scale); });
  }

  bool RunsLayer(int64_t layer, int64_t scale) const override {
    return std::ranges::all_of(
        policies_, [&](const NamedHooks& policy) { return policy.hooks->RunsLayer(layer, scale); });
  }

  ConstView SelectTokens(Context& ctx, const Site& site, ConstView x) override {
    return tokens_ == nullptr ? ConstView() : tokens_->SelectTokens(ctx, site, x);
  }

  void AddSelected(Context& ctx, const Site& site, ConstView tokens, ConstView computed,
                   View x) override {
    tokens_->AddSelected(ctx, site, tokens, computed, x);
  }

  // Only those who choose tokens have a use for whole branches.
  bool WantsBranch(const Site& site) const override {
    return tokens_ != nullptr && tokens_->WantsBranch(site);
  }

  void SeeBranch(Context& ctx, const Site& site, ConstView added) override {
    tokens_->SeeBranch(ctx, site, added);
  }

  int64_t CacheCapacity(int64_t layer, int64_t unpruned) const override {
    int64_t least = unpruned;
    for (const NamedHooks& policy : policies_) {
      least = std::min(least, policy.hooks->CacheCapacity(layer, unpruned));
    }
    return least;
  }

  std::span<const int32_t> QueryTokens(const Site& site) const override {
    return keys_ == nullptr ? std::span<const int32_t>() : keys_->QueryTokens(site);
  }

  ConstView RetainKeys(Context& ctx, const Site& site, ConstView queries, ConstView keys) override {
    return keys_->RetainKeys(ctx, site, queries, keys);
  }

 private:
  std::vector<NamedHooks> policies_;
  Hooks* tokens_ = nullptr;
  Hooks* keys_ = nullptr;
};

void CheckPair(const NamedHooks& a, const NamedHooks& b) {
  const auto refuse = [&](std::string_view reason) {
    Fail(ErrorKind::kUsage, "{} and {} cannot be combined: {}", a.name, b.name, reason);
  };
  if (a.decides.layers && b.decides.layers) refuse("both choose the layers that run");
  if (a.decides.tokens && b.decides.tokens) refuse("both choose the tokens that are computed");
  if (a.decides.keys && b.decides.keys) refuse("both choose the keys that are kept");
  if ((a.decides.tokens && b.decides.keys) || (a.decides.keys && b.decides.tokens)) {
    refuse(
        "keys are chosen by where their tokens are on the whole map, of which only a part is "
        "computed");
  }
}

}  // namespace

std::unique_ptr<Hooks> Combine(std::vector<NamedHooks> policies) {
  for (size_t i = 0; i < policies.size(); ++i) {
    for (size_t j = 0; j < i; ++j) CheckPair(policies[j], policies[i]);
  }
  if (policies.empty()) return nullptr;
  if (policies.size() == 1) return std::move(policies.front().hooks);
  return std::make_unique<Combined>(std::move(policies));
}

}  // namespace gesso::cache
