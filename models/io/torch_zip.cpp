#include "models/io/torch_zip.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "models/io/json.h"
#include "models/io/pickle.h"
#include "models/io/printable.h"
#include "models/io/zip_archive.h"

namespace gesso {

namespace {

using Kind = PickleValue::Kind;
using Bytes = std::span<const std::byte>;

constexpr std::string_view kPickleName = "data.pkl";

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<StorageType, 10> kStorageTypes = {{{"torch.FloatStorage", DType::kF32},
                                                        {"torch.HalfStorage", DType::kF16},
                                                        {"torch.BFloat16Storage", DType::kBF16},
                                                        {"torch.DoubleStorage", DType::kF64},
                                                        {"torch.LongStorage", DType::kI64},
                                                        {"torch.IntStorage", DType::kI32},
                                                        {"torch.ShortStorage", DType::kI16},
                                                        {"torch.CharStorage", DType::kI8},
                                                        {"torch.ByteStorage", DType::kU8},
                                                        {"torch.BoolStorage", DType::kBool}}};

constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildTensorV3 = "torch._utils._rebuild_tensor_v3";
constexpr std::array<std::string_view, 2> kRebuildParameter = {
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"};
constexpr std::string_view kNamespace = "argparse.Namespace";
// Calls that stand for their one argument.
constexpr std::array<std::string_view, 4> kWrappers = {"torch.Size", "torch.device", "builtins.set",
                                                       "__builtin__.set"};
// Types that configs mention by name.
constexpr std::array<std::string_view, 19> kTypeNames = {"torch.float32",
                                                         "torch.float64",
                                                         "torch.float16",
                                                         "torch.bfloat16",
                                                         "torch.int64",
                                                         "torch.int32",
                                                         "torch.int16",
                                                         "torch.int8",
                                                         "torch.uint8",
                                                         "torch.bool",
                                                         "torch.uint16",
                                                         "torch.uint32",
                                                         "torch.uint64",
                                                         "torch.float8_e4m3fn",
                                                         "torch.float8_e4m3fnuz",
                                                         "torch.float8_e5m2",
                                                         "torch.float8_e5m2fnuz",
                                                         "torch.float8_e8m0fnu",
                                                         "torch.storage.UntypedStorage"};

bool Contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool IsHarmless(std::string_view name) {
  return name == "collections.OrderedDict" || name == kNamespace || name == kRebuildTensor ||
         name == kRebuildTensorV3 || Contains(kRebuildParameter, name) ||
         Contains(kWrappers, name) || Contains(kTypeNames, name) ||
         std::ranges::find(kStorageTypes, name, &StorageType::name) != kStorageTypes.end();
}

// Copies the elements that `strides` picks from `from` into a contiguous tensor.
Tensor CopyStrided(const std::byte* from, const Shape& shape, std::span<const int64_t> strides,
                   DType dtype) {
  Tensor result(shape, dtype);
  auto* to = result.mutable_view().Bytes();
  const auto size = static_cast<int64_t>(SizeOf(dtype));
  std::array<int64_t, Shape::kMaxRank> index{};
  int64_t offset = 0;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    std::memcpy(to + i * size, from + offset * size, static_cast<size_t>(size));
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      const auto a = static_cast<size_t>(axis);
      offset += strides[a];
      if (++index[a] < shape[axis]) break;
      offset -= index[a] * strides[a];
      index[a] = 0;
    }
  }
  return result;
}

// Walks the pickled objects: tensors go to weights.tensors, everything else becomes JSON.
class ObjectReader {
 public:
  ObjectReader(const FileBytes& file, const Pickle& pickle, const ZipDirectory& entries,
               const std::string& folder)
      : file_(file),
        pickle_(pickle),
        entries_(entries),
        folder_(folder),
        copy_budget_(std::max<uint64_t>(uint64_t{64} << 20, 2 * file.bytes.size())) {}

  Weights Run() {
    weights_.path = file_.path;
    weights_.mapped = {file_.bytes};
    const PickleValue& root = pickle_[pickle_.root];
    Require(root.kind == Kind::kDict, ErrorKind::kFormat,
            "the file does not hold a dictionary of tensors");
    for (size_t i = 0; i < root.items.size(); i += 2) {
      const std::string key = KeyText(root.items[i]);
      const std::optional<Json> rest = Visit(root.items[i + 1], key, 1);
      if (!rest) continue;
      weights_.metadata[key] = rest->is_string()
                                   ? rest->get<std::string>()
                                   : rest->dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    return std::move(weights_);
  }

 private:
  // The value as JSON, or nothing if it holds tensors only. `name` is its dotted name.
  std::optional<Json> Visit(uint32_t index, const std::string& name, int depth) {
    constexpr int kMaxDepth = 64;
    const PickleValue& value = pickle_[index];
    Require(depth <= kMaxDepth, ErrorKind::kFormat, "'{}': nests deeper than {} levels",
            Printable(name), kMaxDepth);
    Spend(text_budget_, 1 + name.size() + value.text.size());
    switch (value.kind) {
      case Kind::kNone:
        return Json();
      case Kind::kBool:
        return Json(value.integer != 0);
      case Kind::kInt:
        return Json(value.integer);
      case Kind::kFloat:
        return Json(value.real);
      case Kind::kString:
      case Kind::kGlobal:
        return Json(value.text);
      case Kind::kList:
      case Kind::kTuple:
        return VisitList(value, name, depth);
      case Kind::kDict:
        return VisitDict(value, name, depth);
      case Kind::kCall:
        return VisitCall(value, name, depth);
      case Kind::kBytes:
      case Kind::kPersistent:
        break;
    }
    Fail(ErrorKind::kUnsupported, "'{}': raw bytes outside a tensor", Printable(name));
  }

  std::optional<Json> VisitList(const PickleValue& value, const std::string& name, int depth) {
    Json list = Json::array();
    bool only_tensors = !value.items.empty();
    for (size_t i = 0; i < value.items.size(); ++i) {
      auto item = Visit(value.items[i], name + "." + std::to_string(i), depth + 1);
      only_tensors = only_tensors && !item;
      list.push_back(item ? std::move(*item) : Json());
    }
    if (only_tensors) return std::nullopt;
    return list;
  }

  std::optional<Json> VisitDict(const PickleValue& value, const std::string& name, int depth) {
    Json object = Json::object();
    for (size_t i = 0; i < value.items.size(); i += 2) {
      const std::string key = KeyText(value.items[i]);
      auto item = Visit(value.items[i + 1], name + "." + key, depth + 1);
      if (item) object[key] = std::move(*item);
    }
    if (object.empty() && !value.items.empty()) return std::nullopt;
    return object;
  }

  std::optional<Json> VisitCall(const PickleValue& call, const std::string& name, int depth) {
    if (call.text == kRebuildTensor || call.text == kRebuildTensorV3) {
      Tensor tensor =
          WithContext("tensor '" + Printable(name) + "'", [&] { return RebuildTensor(call); });
      Require(weights_.tensors.emplace(name, std::move(tensor)).second, ErrorKind::kFormat,
              "tensor '{}': two of this name", Printable(name));
      return std::nullopt;
    }
    if (call.text == kNamespace) {
      Require(call.items.size() == 2, ErrorKind::kFormat, "'{}': a namespace without its values",
              Printable(name));
      return Visit(call.items[1], name, depth + 1);
    }
    const std::vector<uint32_t>& arguments = pickle_[call.items[0]].items;
    const bool known = Contains(kRebuildParameter, call.text) || Contains(kWrappers, call.text);
    Require(known && !arguments.empty(), ErrorKind::kFormat, "'{}': {} cannot be called so",
            Printable(name), call.text);
    return Visit(arguments[0], name, depth + 1);
  }

  // _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks), in elements.
  Tensor RebuildTensor(const PickleValue& call) {
    Require(call.text == kRebuildTensor, ErrorKind::kUnsupported,
            "its element type is not supported; convert it to bfloat16, float16 or float32");
    const std::vector<uint32_t>& arguments = pickle_[call.items[0]].items;
    Require(arguments.size() >= 4, ErrorKind::kFormat, "_rebuild_tensor_v2 lacks arguments");
    DType dtype = DType::kF32;
    const Bytes storage = Storage(arguments[0], &dtype);
    const auto numel = static_cast<int64_t>(storage.size() / SizeOf(dtype));
    const int64_t offset = Integer(arguments[1], "storage offset");
    const std::vector<int64_t> extents = Integers(arguments[2], "size");
    const std::vector<int64_t> strides = Integers(arguments[3], "stride");
    Require(extents.size() == strides.size(), ErrorKind::kFormat,
            "size has {} dimensions, stride {}", extents.size(), strides.size());
    int64_t bytes = 0;
    Require(CheckedTensorBytes(extents, dtype, &bytes), ErrorKind::kFormat,
            "its size is too large for any file");
    Require(offset <= numel, ErrorKind::kFormat, "begins behind the end of its storage");
    const Shape shape(extents);
    if (bytes == 0) return Tensor(shape, dtype);

    int64_t last = offset;  // index of the last element
    for (size_t i = 0; i < extents.size(); ++i) {
      int64_t reach = 0;
      const bool overflow = __builtin_mul_overflow(extents[i] - 1, strides[i], &reach) ||
                            __builtin_add_overflow(last, reach, &last);
      Require(!overflow, ErrorKind::kFormat, "its strides are too large for any file");
    }
    Require(last < numel, ErrorKind::kFormat, "reaches behind the end of its storage");
    return FromStorage(storage.subspan(static_cast<size_t>(offset) * SizeOf(dtype)), shape, strides,
                       dtype);
  }

  Tensor FromStorage(Bytes from, const Shape& shape, const std::vector<int64_t>& strides,
                     DType dtype) {
    ConstView view(from.data(), shape, dtype);
    std::ranges::copy(strides, view.strides.begin());
    if (view.IsContiguous() && IsAligned(from.data(), dtype)) {
      return Tensor(file_.owner, from.data(), shape, dtype);
    }
    // Tensors may share a storage, and a stride of 0 makes 4 bytes a tensor of any size.
    Spend(copy_budget_, view.bytes());
    return CopyStrided(from.data(), shape, strides, dtype);
  }

  // The bytes of persistent id ("storage", type, key, location, number of elements).
  Bytes Storage(uint32_t index, DType* dtype) const {
    const PickleValue& persistent = pickle_[index];
    Require(persistent.kind == Kind::kPersistent, ErrorKind::kFormat, "has no storage");
    const PickleValue& id = pickle_[persistent.items[0]];
    const bool well_formed =
        id.kind == Kind::kTuple && id.items.size() >= 5 && pickle_[id.items[0]].text == "storage" &&
        pickle_[id.items[1]].kind == Kind::kGlobal && pickle_[id.items[2]].kind == Kind::kString;
    Require(well_formed, ErrorKind::kFormat, "its storage is not described as torch.save does");
    const std::string& type = pickle_[id.items[1]].text;
    const auto* const found = std::ranges::find(kStorageTypes, type, &StorageType::name);
    Require(found != kStorageTypes.end(), ErrorKind::kFormat, "'{}' is not a storage type", type);
    const std::string name = folder_ + "data/" + pickle_[id.items[2]].text;
    const std::optional<Bytes> bytes = StoredEntry(entries_, name);
    Require(bytes.has_value(), ErrorKind::kFormat, "its storage '{}' is not in the file",
            Printable(name));
    const int64_t numel = Integer(id.items[4], "storage size");
    int64_t expected = 0;
    const bool fits = CheckedTensorBytes(std::array{numel}, found->dtype, &expected) &&
                      bytes->size() == static_cast<uint64_t>(expected);
    Require(fits, ErrorKind::kFormat,
            "its storage '{}' should hold {} elements of {}, has {} bytes", Printable(name), numel,
            type, bytes->size());
    *dtype = found->dtype;
    return *bytes;
  }

  int64_t Integer(uint32_t index, std::string_view what) const {
    const PickleValue& value = pickle_[index];
    Require(value.kind == Kind::kInt && value.integer >= 0, ErrorKind::kFormat,
            "{} is not a number of elements", what);
    return value.integer;
  }

  std::vector<int64_t> Integers(uint32_t index, std::string_view what) const {
    const PickleValue& list = pickle_[index];
    if (list.kind == Kind::kCall && list.text == "torch.Size" &&
        !pickle_[list.items[0]].items.empty()) {
      return Integers(pickle_[list.items[0]].items[0], what);
    }
    Require(list.kind == Kind::kTuple, ErrorKind::kFormat, "{} is not a tuple", what);
    Require(list.items.size() <= Shape::kMaxRank, ErrorKind::kUnsupported,
            "has more than {} dimensions", Shape::kMaxRank);
    std::vector<int64_t> integers;
    for (const uint32_t item : list.items) integers.push_back(Integer(item, what));
    return integers;
  }

  std::string KeyText(uint32_t index) const {
    const PickleValue& key = pickle_[index];
    if (key.kind == Kind::kInt) return std::to_string(key.integer);
    Require(key.kind == Kind::kString, ErrorKind::kUnsupported,
            "a dictionary has keys other than text and integers");
    return key.text;
  }

  // A shared value counts each time it is met: nested sharing can stand for any amount of data.
  static void Spend(uint64_t& budget, uint64_t amount) {
    Require(amount <= budget, ErrorKind::kFormat,
            "the file unfolds to far more than its size (damaged or malicious?)");
    budget -= amount;
  }

  const FileBytes& file_;
  const Pickle& pickle_;
  const ZipDirectory& entries_;
  const std::string& folder_;
  uint64_t copy_budget_;                       // bytes of strided tensors
  uint64_t text_budget_ = uint64_t{64} << 20;  // names, values and text
  Weights weights_;
};

// The archive's one folder, which depends on the name the file was saved under; with its slash.
std::string FindFolder(const ZipDirectory& entries) {
  for (const auto& [name, entry] : entries) {
    if (!name.ends_with(kPickleName)) continue;
    const std::string folder = name.substr(0, name.size() - kPickleName.size());
    if (folder.find('/') + 1 == folder.size()) return folder;
  }
  Fail(ErrorKind::kFormat, "is a zip archive, but not of torch.save (it has no data.pkl)");
}

}  // namespace

Weights ParseTorchZip(const FileBytes& file) {
  return WithContext(file.path.string(), [&] {
    const ZipDirectory entries = ReadZipDirectory(file.bytes);
    const std::string folder = FindFolder(entries);
    const auto code = entries.lower_bound(folder + "code/");
    const bool script = entries.contains(folder + "constants.pkl") ||
                        (code != entries.end() && code->first.starts_with(folder + "code/"));
    Require(!script, ErrorKind::kUnsupported,
            "is a TorchScript program (torch.jit.save); save its state_dict() with torch.save");
    const std::optional<Bytes> byte_order = StoredEntry(entries, folder + "byteorder");
    Require(!byte_order || AsText(*byte_order) == "little", ErrorKind::kUnsupported,
            "was saved on a big-endian machine (record byteorder)");
    const Bytes program = *StoredEntry(entries, folder + std::string(kPickleName));
    const Pickle pickle =
        WithContext(std::string(kPickleName), [&] { return ParsePickle(program, IsHarmless); });
    return ObjectReader(file, pickle, entries, folder).Run();
  });
}

}  // namespace gesso
