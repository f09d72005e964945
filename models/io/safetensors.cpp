#include "models/io/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <vector>

#include "models/io/json.h"
#include "models/io/output_file.h"
#include "models/io/printable.h"

namespace gesso {

namespace {

constexpr size_t kPrefixSize = 8;
constexpr uint64_t kMaxHeaderSize = 100'000'000;
constexpr std::string_view kMetadataKey = "__metadata__";

struct DTypeName {
  std::string_view name;
  std::optional<DType> dtype;  // absent: the format knows it, gesso does not
};

constexpr std::array<DTypeName, 20> kDTypes = {{{"F32", DType::kF32},
                                                {"F16", DType::kF16},
                                                {"BF16", DType::kBF16},
                                                {"F64", DType::kF64},
                                                {"I64", DType::kI64},
                                                {"I32", DType::kI32},
                                                {"I16", DType::kI16},
                                                {"I8", DType::kI8},
                                                {"U8", DType::kU8},
                                                {"BOOL", DType::kBool},
                                                {"U16", {}},
                                                {"U32", {}},
                                                {"U64", {}},
                                                {"C64", {}},
                                                {"F8_E5M2", DType::kF8E5M2},
                                                {"F8_E4M3", DType::kF8E4M3},
                                                {"F8_E8M0", {}},
                                                {"F6_E2M3", {}},
                                                {"F6_E3M2", {}},
                                                {"F4", {}}}};

DType ParseDType(const std::string& name, const std::string& tensor) {
  const auto* const found = std::ranges::find(kDTypes, name, &DTypeName::name);
  Require(found != kDTypes.end(), ErrorKind::kFormat, "tensor '{}': unknown dtype '{}'", tensor,
          Printable(name));
  Require(found->dtype.has_value(), ErrorKind::kUnsupported,
          "tensor '{}': dtype {} is not supported; convert the file to BF16, F16 or F32", tensor,
          name);
  return *found->dtype;
}

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<int64_t> offsets;  // begin, end; after the header
};

// Reads the header as it streams by: nothing is built for what does not belong there, so a
// hostile header costs no memory beyond its own size.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop) {
      place_ = key_ == kMetadataKey ? Place::kMetadata : Place::kTensor;
      if (place_ == Place::kTensor) entries.emplace_back().name = key_;
    } else {
      Unexpected("an object");
    }
    return true;
  }

  bool key(string_t& text) override {
    if (place_ == Place::kTop) {
      Require(keys_.insert(text).second, ErrorKind::kFormat, "duplicate key '{}'", Printable(text));
      key_ = text;
      fields_.clear();
      return true;
    }
    field_ = text;
    Require(fields_.insert(text).second, ErrorKind::kFormat, "{}: duplicate key '{}'", Where(),
            Printable(text));
    const bool known =
        place_ == Place::kMetadata || text == "dtype" || text == "shape" || text == "data_offsets";
    Require(known, ErrorKind::kFormat, "{}: unknown field '{}'", Where(), Printable(text));
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        Require(fields_.contains(field), ErrorKind::kFormat, "{}: field '{}' is missing", Where(),
                field);
      }
    }
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && field_ == "shape") {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && field_ == "data_offsets") {
      place_ = Place::kOffsets;
    } else {
      Unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    Require(place_ == Place::kShape || entries.back().offsets.size() == 2, ErrorKind::kFormat,
            "{}: data_offsets must be two numbers", Where());
    place_ = Place::kTensor;
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) {
      metadata[field_] = text;
    } else if (place_ == Place::kTensor && field_ == "dtype") {
      entries.back().dtype = text;
    } else {
      Unexpected("a string");
    }
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) Unexpected("a number");
    Require(value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), ErrorKind::kFormat,
            "{}: {} in '{}' is too large", Where(), value, field_);
    auto& list = place_ == Place::kShape ? entries.back().shape : entries.back().offsets;
    if (place_ == Place::kShape) {
      Require(list.size() < Shape::kMaxRank, ErrorKind::kUnsupported,
              "{}: has more than {} dimensions", Where(), Shape::kMaxRank);
    } else {
      Require(list.size() < 2, ErrorKind::kFormat, "{}: data_offsets must be two numbers", Where());
    }
    list.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool number_integer(number_integer_t) override { return Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Unexpected("a number that is not an integer, or too large,");
  }
  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    Fail(ErrorKind::kFormat, "header is not valid JSON: {}", Printable(error.what(), 300));
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };

  std::string Where() const {
    return key_ == kMetadataKey ? key_ : "tensor '" + Printable(key_) + "'";
  }

  [[noreturn]] bool Unexpected(std::string_view what) const {
    switch (place_) {
      case Place::kStart:
      case Place::kEnd:
        Fail(ErrorKind::kFormat, "header is {} instead of an object", what);
      case Place::kTop:
        Fail(ErrorKind::kFormat, "{}: is {} instead of an object", Where(), what);
      case Place::kMetadata:
        Fail(ErrorKind::kFormat, "{}: '{}' is {} instead of a string", Where(), Printable(field_),
             what);
      case Place::kTensor:
      case Place::kShape:
      case Place::kOffsets:
        Fail(ErrorKind::kFormat, "{}: {} does not belong in '{}'", Where(), what, field_);
    }
    Fail(ErrorKind::kInternal, "safetensors header: no such place");
  }

  Place place_ = Place::kStart;
  std::string key_;               // of the top level
  std::string field_;             // inside key_
  std::set<std::string> keys_;    // seen at the top level
  std::set<std::string> fields_;  // seen inside key_
};

std::string_view HeaderText(std::span<const std::byte> bytes) {
  Require(bytes.size() > kPrefixSize, ErrorKind::kFormat,
          "has {} bytes, too few for a safetensors file (truncated download?)", bytes.size());
  const auto size = ReadLittleEndian<uint64_t>(bytes, 0);
  Require(size <= kMaxHeaderSize, ErrorKind::kFormat, "header of {} bytes: at most {} are allowed",
          size, kMaxHeaderSize);
  Require(size <= bytes.size() - kPrefixSize, ErrorKind::kFormat,
          "header of {} bytes, but the file has only {} (truncated download?)", size, bytes.size());
  const std::string_view text = AsText(bytes.subspan(kPrefixSize, size));
  Require(text.starts_with('{'), ErrorKind::kFormat, "header does not start with '{{'");
  // The JSON library takes a zero byte for the end of its input.
  Require(text.find('\0') == std::string_view::npos, ErrorKind::kFormat,
          "header is not valid JSON: it holds a zero byte");
  return text;
}

// Every byte after the header belongs to exactly one tensor.
void CheckCoverage(std::vector<Entry>& entries, int64_t data_size) {
  std::ranges::sort(entries, {}, &Entry::offsets);
  int64_t end = 0;
  for (const Entry& entry : entries) {
    const std::string name = Printable(entry.name);
    Require(entry.offsets[0] <= entry.offsets[1], ErrorKind::kFormat,
            "tensor '{}': data_offsets end before they begin", name);
    Require(entry.offsets[0] >= end, ErrorKind::kFormat,
            "tensor '{}': data_offsets overlap those of another tensor", name);
    Require(entry.offsets[0] == end, ErrorKind::kFormat,
            "tensor '{}': {} bytes before its data belong to no tensor", name,
            entry.offsets[0] - end);
    end = entry.offsets[1];
    Require(end <= data_size, ErrorKind::kFormat,
            "tensor '{}': its data end at byte {}, but the file holds only {} after the header "
            "(truncated download?)",
            name, end, data_size);
  }
  Require(end == data_size, ErrorKind::kFormat, "{} bytes at the end belong to no tensor",
          data_size - end);
}

// A view into the file, or a copy where the file does not align the elements.
Tensor MakeTensor(const FileBytes& file, std::span<const std::byte> bytes, const Shape& shape,
                  DType dtype) {
  if (IsAligned(bytes.data(), dtype)) return Tensor(file.owner, bytes.data(), shape, dtype);
  Tensor copy(shape, dtype);
  if (!bytes.empty()) std::memcpy(copy.mutable_view().data, bytes.data(), bytes.size());
  return copy;
}

}  // namespace

bool IsSafetensors(std::span<const std::byte> bytes) {
  return bytes.size() > kPrefixSize && ReadLittleEndian<uint64_t>(bytes, 0) <= kMaxHeaderSize &&
         bytes[kPrefixSize] == std::byte{'{'};
}

Weights ParseSafetensors(const FileBytes& file) {
  return WithContext(file.path.string(), [&] {
    const std::string_view header = HeaderText(file.bytes);
    HeaderReader reader;
    Json::sax_parse(header, &reader);
    const auto data = file.bytes.subspan(kPrefixSize + header.size());
    CheckCoverage(reader.entries, static_cast<int64_t>(data.size()));

    Weights weights{.path = file.path,
                    .tensors = {},
                    .metadata = std::move(reader.metadata),
                    .mapped = {file.bytes}};
    for (const Entry& entry : reader.entries) {
      const std::string name = Printable(entry.name);
      const DType dtype = ParseDType(entry.dtype, name);
      const int64_t size = entry.offsets[1] - entry.offsets[0];
      int64_t expected = 0;
      Require(CheckedTensorBytes(entry.shape, dtype, &expected), ErrorKind::kFormat,
              "tensor '{}': its shape is too large for any file", name);
      const Shape shape(entry.shape);
      Require(size == expected, ErrorKind::kFormat,
              "tensor '{}': {} {} takes {} bytes, data_offsets give {}", name, entry.dtype,
              shape.ToString(), expected, size);
      const auto bytes =
          data.subspan(static_cast<size_t>(entry.offsets[0]), static_cast<size_t>(size));
      weights.tensors.emplace(entry.name, MakeTensor(file, bytes, shape, dtype));
    }
    return weights;
  });
}

void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, Tensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  // Widest elements first keeps every tensor aligned, as the official writer does.
  std::vector<std::pair<std::string, ConstView>> ordered(tensors.begin(), tensors.end());
  std::ranges::stable_sort(ordered, std::ranges::greater{},
                           [](const auto& item) { return SizeOf(item.second.dtype); });
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  size_t offset = 0;
  for (const auto& [name, view] : ordered) {
    const auto* const dtype =
        std::ranges::find(kDTypes, std::optional<DType>(view.dtype), &DTypeName::dtype);
    header[name] = {{"dtype", dtype->name},
                    {"shape", view.shape.dims()},
                    {"data_offsets", {offset, offset + view.bytes()}}};
    offset += view.bytes();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    Fail(ErrorKind::kOutput, "{}: a tensor's name or the metadata are not valid UTF-8",
         path.string());
  }
  text.resize((text.size() + kPrefixSize - 1) / kPrefixSize * kPrefixSize, ' ');

  OutputFile file(path);
  std::array<std::byte, kPrefixSize> prefix;
  for (size_t i = 0; i < kPrefixSize; ++i) prefix[i] = std::byte(text.size() >> (8 * i));
  file.Write(prefix);
  file.Write(std::as_bytes(std::span(text)));
  for (const auto& [name, view] : ordered) {
    file.Write({view.Bytes(), view.bytes()});
  }
  file.Commit();
}

}  // namespace gesso
