#include "kernels/core/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/core/error.h"

namespace gesso {

namespace {

template <class T>
T ParseNumber(std::string_view name, std::string_view text, T low, T high, std::string_view kind) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  Require(error == std::errc{} && end == text.data() + text.size(), ErrorKind::kUsage,
          "option {}: '{}' is not {}", name, text, kind);
  // Written so that NaN is refused as well.
  Require(value >= low && value <= high, ErrorKind::kUsage, "option {}: {} is not within {} .. {}",
          name, text, low, high);
  return value;
}

}  // namespace

std::pair<std::string_view, std::string_view> SplitMethod(std::string_view method) {
  const size_t colon = method.find(':');
  if (colon == std::string_view::npos) return {method, {}};
  return {method.substr(0, colon), method.substr(colon + 1)};
}

void OptionLister::Number(std::string_view name, double& value, double low, double high,
                          std::string_view help) {
  options.push_back({std::string(name), fmt::format("{}", value),
                     fmt::format("{} .. {}", low, high), std::string(help)});
}

void OptionLister::Integer(std::string_view name, int64_t& value, int64_t low, int64_t high,
                           std::string_view help) {
  options.push_back({std::string(name), fmt::format("{}", value),
                     fmt::format("{} .. {}", low, high), std::string(help)});
}

void OptionLister::Choice(std::string_view name, std::string_view& value,
                          std::span<const std::string_view> choices, std::string_view help) {
  options.push_back({std::string(name), std::string(value),
                     fmt::format("{}", fmt::join(choices, " | ")), std::string(help)});
}

OptionSetter::OptionSetter(std::string_view text) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const size_t equals = item.find('=');
    Require(equals != std::string_view::npos && equals > 0, ErrorKind::kUsage,
            "options are written key=value,key=value; '{}' is not", item);
    const std::string_view key = item.substr(0, equals);
    const bool repeated =
        std::ranges::any_of(given_, [&](const Given& earlier) { return earlier.key == key; });
    Require(!repeated, ErrorKind::kUsage, "option {} is given twice", key);
    given_.push_back({key, item.substr(equals + 1)});
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
}

const std::string_view* OptionSetter::Take(std::string_view name) {
  known_.push_back(name);
  for (Given& given : given_) {
    if (given.key != name) continue;
    given.taken = true;
    return &given.value;
  }
  return nullptr;
}

void OptionSetter::Number(std::string_view name, double& value, double low, double high,
                          std::string_view /*help*/) {
  if (const auto* text = Take(name)) value = ParseNumber(name, *text, low, high, "a number");
}

void OptionSetter::Integer(std::string_view name, int64_t& value, int64_t low, int64_t high,
                           std::string_view /*help*/) {
  if (const auto* text = Take(name)) value = ParseNumber(name, *text, low, high, "a whole number");
}

void OptionSetter::Choice(std::string_view name, std::string_view& value,
                          std::span<const std::string_view> choices, std::string_view /*help*/) {
  const auto* text = Take(name);
  if (text == nullptr) return;
  const auto found = std::ranges::find(choices, *text);
  Require(found != choices.end(), ErrorKind::kUsage, "option {}: '{}' is none of {}", name, *text,
          fmt::join(choices, ", "));
  value = *found;
}

void OptionSetter::Finish() const {
  for (const Given& given : given_) {
    Require(given.taken, ErrorKind::kUsage, "there is no option '{}' here (options: {})", given.key,
            known_.empty() ? "none" : fmt::format("{}", fmt::join(known_, ", ")));
  }
}

}  // namespace gesso
