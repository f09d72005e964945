// Options of named methods (samplers, schedules, caches, searches), written "name:key=value,...".
// A struct of plain fields declares them once, in Visit(OptionVisitor&); that one declaration sets
// them from text, lists them and checks them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gesso {

// Is shown every field of an options struct. Ranges are inclusive.
class OptionVisitor {
 public:
  virtual ~OptionVisitor() = default;
  virtual void Number(std::string_view name, double& value, double low, double high,
                      std::string_view help) = 0;
  virtual void Integer(std::string_view name, int64_t& value, int64_t low, int64_t high,
                       std::string_view help) = 0;
  // `value` is one of `choices`, which are string literals.
  virtual void Choice(std::string_view name, std::string_view& value,
                      std::span<const std::string_view> choices, std::string_view help) = 0;
};

// One option in words, for help texts and tables.
struct OptionInfo {
  std::string name;
  std::string default_value;
  std::string range;  // "0 .. 100", "midpoint | heun"
  std::string help;
};

// "dpmpp_sde:eta=0.5,r=0.4" -> {"dpmpp_sde", "eta=0.5,r=0.4"}.
std::pair<std::string_view, std::string_view> SplitMethod(std::string_view method);

// Lists what `visit` shows.
class OptionLister : public OptionVisitor {
 public:
  void Number(std::string_view name, double& value, double low, double high,
              std::string_view help) override;
  void Integer(std::string_view name, int64_t& value, int64_t low, int64_t high,
               std::string_view help) override;
  void Choice(std::string_view name, std::string_view& value,
              std::span<const std::string_view> choices, std::string_view help) override;

  std::vector<OptionInfo> options;
};

// Sets fields from "key=value,..."; Finish() throws kUsage for keys that no field has taken.
class OptionSetter : public OptionVisitor {
 public:
  // Throws kUsage where `text` is not a list of key=value or repeats a key.
  explicit OptionSetter(std::string_view text);

  // Throw kUsage for a value of the wrong kind or out of range.
  void Number(std::string_view name, double& value, double low, double high,
              std::string_view help) override;
  void Integer(std::string_view name, int64_t& value, int64_t low, int64_t high,
               std::string_view help) override;
  void Choice(std::string_view name, std::string_view& value,
              std::span<const std::string_view> choices, std::string_view help) override;

  void Finish() const;

 private:
  struct Given {
    std::string_view key;
    std::string_view value;
    bool taken = false;
  };
  // The value given for `name`, marked as taken, or nullptr.
  const std::string_view* Take(std::string_view name);

  std::vector<Given> given_;
  std::vector<std::string_view> known_;
};

// The options of struct type Options.
template <class Options>
std::vector<OptionInfo> ListOptions() {
  Options options;
  OptionLister lister;
  options.Visit(lister);
  return std::move(lister.options);
}

// Options with their defaults, changed by `text`. Throws kUsage, naming the choices.
template <class Options>
Options ParseOptions(std::string_view text) {
  Options options;
  OptionSetter setter(text);
  options.Visit(setter);
  setter.Finish();
  return options;
}

}  // namespace gesso
