#include "pipelines/request.h"

#include <array>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

namespace gesso {

namespace {

constexpr size_t kMaxTextBytes = size_t{8} << 20;
constexpr size_t kMaxScales = 64;

// Fields of which a request has one at most.
constexpr std::array<std::pair<const char*, const char*>, 2> kAlternatives = {
    {{"cfg_scale", "cfg_per_scale"}, {"prompt", "prompt_schedule"}}};

template <class T>
T ParseNumber(std::string_view text, const std::string& name) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  Require(error != std::errc::result_out_of_range, ErrorKind::kUsage, "{}: {} is out of range",
          name, text);
  Require(error == std::errc{} && end == text.data() + text.size(), ErrorKind::kUsage,
          "{}: '{}' is not {}", name, text,
          std::is_integral_v<T> ? "a whole number in range" : "a number");
  return value;
}

template <class T>
void RequireInRange(const FieldInfo& info, const std::string& name, T value) {
  const auto number = static_cast<double>(value);
  Require(number >= info.low && number <= info.high, ErrorKind::kUsage,
          "{}: {} is outside {:.15g} to {:.15g}", name, value, info.low, info.high);
}

// Check: what a value of each type has to satisfy whether it came from text or from JSON.
void Check(const FieldInfo&, const std::string& name, const std::string& text) {
  Require(text.size() <= kMaxTextBytes, ErrorKind::kUsage, "{}: {} bytes are more than {}", name,
          text.size(), kMaxTextBytes);
  RequireUtf8(text, name);
}
void Check(const FieldInfo& info, const std::string& name, int64_t value) {
  RequireInRange(info, name, value);
}
void Check(const FieldInfo&, const std::string&, uint64_t) {}
void Check(const FieldInfo&, const std::string&, bool) {}
void Check(const FieldInfo& info, const std::string& name, double value) {
  RequireInRange(info, name, value);  // false for NaN
}
void Check(const FieldInfo& info, const std::string& name, const PerScale& value) {
  Require(!value.values.empty() && value.values.size() <= kMaxScales, ErrorKind::kUsage,
          "{}: has {} values, expected 1 to {}", name, value.values.size(), kMaxScales);
  for (const double one : value.values) RequireInRange(info, name, one);
}
void Check(const FieldInfo& info, const std::string& name, const Interval& value) {
  RequireInRange(info, name, value.low);
  RequireInRange(info, name, value.high);
  Require(value.low <= value.high, ErrorKind::kUsage, "{}: {} is above {}", name, value.low,
          value.high);
}
void Check(const FieldInfo& info, const std::string& name, const Margins& value) {
  for (const int64_t side : {value.left, value.top, value.right, value.bottom}) {
    RequireInRange(info, name, side);
  }
  Require(value != Margins{}, ErrorKind::kUsage, "{}: all sides are 0", name);
}

// Parse: a value from its text on the command line.
void Parse(const std::string& text, const std::string&, std::string& value) { value = text; }
void Parse(const std::string& text, const std::string& name, Interval& value) {
  const size_t comma = text.find(',');
  Require(comma != std::string::npos, ErrorKind::kUsage, "{}: expected LOW,HIGH, got '{}'", name,
          text);
  value.low = ParseNumber<double>(std::string_view(text).substr(0, comma), name);
  value.high = ParseNumber<double>(std::string_view(text).substr(comma + 1), name);
}
void Parse(const std::string& text, const std::string& name, Margins& value) {
  std::string_view rest = text;
  for (int64_t* side : {&value.left, &value.top, &value.right, &value.bottom}) {
    const size_t comma = rest.find(',');
    const bool is_last = side == &value.bottom;
    Require((comma == std::string_view::npos) == is_last, ErrorKind::kUsage,
            "{}: expected LEFT,TOP,RIGHT,BOTTOM, got '{}'", name, text);
    *side = ParseNumber<int64_t>(rest.substr(0, comma), name);
    if (!is_last) rest.remove_prefix(comma + 1);
  }
}
void Parse(const std::string& text, const std::string& name, bool& value) {
  Require(text == "true" || text == "false", ErrorKind::kUsage, "{}: '{}' is not true or false",
          name, text);
  value = text == "true";
}
void Parse(const std::string& text, const std::string& name, PerScale& value) {
  for (std::string_view rest = text;;) {
    const size_t comma = rest.find(',');
    value.values.push_back(ParseNumber<double>(rest.substr(0, comma), name));
    if (comma == std::string_view::npos) return;
    rest.remove_prefix(comma + 1);
  }
}
template <class T>
void Parse(const std::string& text, const std::string& name, T& value) {
  value = ParseNumber<T>(text, name);
}

// Read: a value from JSON.
void Read(const Json& json, const std::string& name, std::string& value) {
  Require(json.is_string(), ErrorKind::kUsage, "{}: expected text", name);
  value = json.get<std::string>();
}
void Read(const Json& json, const std::string& name, int64_t& value) {
  const bool fits =
      json.is_number_integer() && !(json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX);
  Require(fits, ErrorKind::kUsage, "{}: expected a whole number in range, got {}", name,
          json.dump());
  value = json.get<int64_t>();
}
void Read(const Json& json, const std::string& name, uint64_t& value) {
  Require(json.is_number_unsigned(), ErrorKind::kUsage,
          "{}: expected a whole number from 0 to 2^64-1", name);
  value = json.get<uint64_t>();
}
void Read(const Json& json, const std::string& name, double& value) {
  Require(json.is_number(), ErrorKind::kUsage, "{}: expected a number", name);
  value = json.get<double>();
}
void Read(const Json& json, const std::string& name, bool& value) {
  Require(json.is_boolean(), ErrorKind::kUsage, "{}: expected true or false", name);
  value = json.get<bool>();
}
void Read(const Json& json, const std::string& name, PerScale& value) {
  value.values.clear();
  for (const Json& one : json.is_array() ? json : Json::array({json})) {
    Read(one, name, value.values.emplace_back());
  }
}
void Read(const Json& json, const std::string& name, Interval& value) {
  Require(json.is_array() && json.size() == 2, ErrorKind::kUsage, "{}: expected [low, high]", name);
  Read(json[0], name, value.low);
  Read(json[1], name, value.high);
}
void Read(const Json& json, const std::string& name, Margins& value) {
  Require(json.is_array() && json.size() == 4, ErrorKind::kUsage,
          "{}: expected [left, top, right, bottom]", name);
  size_t i = 0;
  for (int64_t* side : {&value.left, &value.top, &value.right, &value.bottom}) {
    Read(json[i++], name, *side);
  }
}

Json Write(const Margins& value) {
  return Json::array({value.left, value.top, value.right, value.bottom});
}
Json Write(const Interval& value) { return Json::array({value.low, value.high}); }
Json Write(const PerScale& value) {
  return value.values.size() == 1 ? Json(value.values.front()) : Json(value.values);
}
template <class T>
Json Write(const T& value) {
  return value;
}

// Length of the UTF-8 sequence at the start of `text`, or 0 if there is no valid one.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first >= 0x01 && first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first < 0xF0) {
    const bool overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = first == 0xED && byte(1) >= 0xA0;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first < 0xF5) {
    const bool overlong = first == 0xF0 && byte(1) < 0x90;
    const bool too_large = first == 0xF4 && byte(1) >= 0x90;
    return continues(1) && continues(2) && continues(3) && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

// A value as ParametersText writes it.
std::string AsText(const PerScale& value) {
  return fmt::format("{}", fmt::join(value.values, ","));
}
template <class T>
std::string AsText(const T& value) {
  return fmt::format("{}", value);
}

}  // namespace

DType ParseDType(std::string_view name) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (name == NameOf(dtype)) return dtype;
  }
  Fail(ErrorKind::kUsage, "dtype: there is no '{}' (choices: float32, bfloat16)", name);
}

void RequireUtf8(std::string_view text, const std::string& what) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = SequenceLength(text.substr(at));
    Require(length > 0, ErrorKind::kUsage, "{}: is not valid UTF-8 text (byte {} is 0x{:02x})",
            what, at, static_cast<unsigned char>(text[at]));
    at += length;
  }
}

Json ToJson(const Request& request) {
  Json json = Json::object();
  VisitFields(request, [&](const FieldInfo& info, const auto& field) {
    if (field) json[std::string(info.name)] = Write(*field);
  });
  return json;
}

Request RequestFromJson(const Json& json, const std::string& source) {
  Require(json.is_object(), ErrorKind::kUsage, "{}: expected a JSON object of settings", source);
  Request request;
  size_t known = 0;
  Json unknown = json;
  VisitFields(request, [&]<class T>(const FieldInfo& info, std::optional<T>& field) {
    const auto found = json.find(info.name);
    if (found == json.end()) return;
    ++known;
    unknown.erase(std::string(info.name));
    const std::string name = source + ": field '" + std::string(info.name) + "'";
    T value{};
    Read(*found, name, value);
    Check(info, name, value);
    field = std::move(value);
  });
  Require(known == json.size(), ErrorKind::kUsage, "{}: there is no field '{}'", source,
          unknown.empty() ? "" : unknown.begin().key());
  return request;
}

void SetField(Request& request, std::string_view field, const std::string& text,
              const std::string& name) {
  bool found = false;
  VisitFields(request, [&]<class T>(const FieldInfo& info, std::optional<T>& target) {
    if (info.name != field) return;
    found = true;
    T value{};
    Parse(text, name, value);
    Check(info, name, value);
    target = std::move(value);
  });
  CHECK(found);
}

Request Merge(const Request& base, const Request& over) {
  Json merged = ToJson(base);
  const Json fields = ToJson(over);
  for (const auto& [one, other] : kAlternatives) {
    if (fields.contains(one)) merged.erase(other);
    if (fields.contains(other)) merged.erase(one);
  }
  merged.update(fields);
  return RequestFromJson(merged, "settings");
}

void RefuseAlternatives(const Request& request) {
  const Json fields = ToJson(request);
  for (const auto& [one, other] : kAlternatives) {
    Require(!fields.contains(one) || !fields.contains(other), ErrorKind::kUsage,
            "{}, {}: give one of them", one, other);
  }
}

std::string ParametersText(const Request& request) {
  std::string text = request.prompt.value_or("") + "\n";
  if (!request.negative_prompt.value_or("").empty()) {
    text += "Negative prompt: " + *request.negative_prompt + "\n";
  }
  std::string separator;
  const auto add = [&]<class T>(std::string_view name, const std::optional<T>& value) {
    if (!value) return;
    std::string written = AsText(*value);
    // Readers split at commas and colons; values that hold some are quoted as JSON strings.
    if (written.find_first_of(",:\n") != std::string::npos) written = Json(written).dump();
    text += fmt::format("{}{}: {}", separator, name, written);
    separator = ", ";
  };
  add("Steps", request.steps);
  add("Sampler", request.sampling_method);
  add("Schedule type", request.scheduler);
  add("CFG scale", request.cfg_scale);
  add("CFG per scale", request.cfg_per_scale);
  add("Temperature", request.temperature);
  add("Top-k", request.top_k);
  add("Top-p", request.top_p);
  add("More smooth", request.more_smooth);
  add("Cache", request.cache);
  add("Seed", request.seed);
  if (request.width && request.height) {
    add("Size", std::optional(fmt::format("{}x{}", *request.width, *request.height)));
  }
  add("Model", request.model);
  if (request.init_image) add("Denoising strength", request.strength);
  add("Mask", request.mask);
  if (request.outpaint) add("Outpaint", std::optional(Write(*request.outpaint).dump()));
  add("Mask inverted", request.mask_invert);
  add("Mask grow", request.mask_grow);
  add("Mask blur", request.mask_blur);
  if (request.only_masked.value_or(false)) {
    add("Inpaint area", std::optional<std::string>("Only masked"));
  }
  add("Masked area padding", request.mask_padding);
  add("Masked content", request.masked_content);
  add("Inpaint method", request.inpaint);
  add("Tile size", request.tile_size);
  add("Tile overlap", request.tile_overlap);
  add("Frames", request.frames);
  add("FPS", request.fps);
  add("Prompt schedule", request.prompt_schedule);
  add("Overlap", request.overlap);
  add("Interpolate", request.interpolate);
  add("Loop", request.loop);
  add("Class label", request.class_label);
  add("Version", std::optional<std::string>("gesso"));
  return text;
}

}  // namespace gesso
