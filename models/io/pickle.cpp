#include "models/io/pickle.h"

#include <bit>
#include <cmath>
#include <unordered_map>

#include "kernels/core/error.h"
#include "models/io/file_bytes.h"
#include "models/io/printable.h"

namespace gesso {

namespace {

using Kind = PickleValue::Kind;

// Far above any checkpoint (some 16 values a tensor), low enough for any machine.
constexpr size_t kMaxBytes = size_t{64} << 20;
constexpr size_t kMaxValues = size_t{2} << 20;
constexpr std::string_view kOrderedDict = "collections.OrderedDict";

// Names as in pickletools.
enum Opcode : uint8_t {
  kProto = 0x80,
  kFrame = 0x95,
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinBytes8 = 0x8e,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kNewObj = 0x81,
  kBuild = 'b',
  kBinPersId = 'Q',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kBinGet = 'h',
  kLongBinGet = 'j',
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::function<bool(std::string_view)>& allowed)
      : bytes_(bytes), allowed_(allowed) {}

  Pickle Run() {
    for (;;) {
      const auto opcode = Take<uint8_t>();
      if (opcode == kStop) break;
      const bool known = Scalar(opcode) || Container(opcode) || Object(opcode) || Memo(opcode);
      Require(known, ErrorKind::kUnsupported,
              "pickle opcode 0x{:02x} at byte {} is not one that torch.save writes", opcode,
              position_ - 1);
      Require(pickle_.values.size() <= kMaxValues && stack_.size() <= kMaxValues &&
                  marks_.size() <= kMaxValues && memo_.size() <= kMaxValues,
              ErrorKind::kFormat, "pickle holds more than {} values", kMaxValues);
    }
    pickle_.root = Pop();
    return std::move(pickle_);
  }

 private:
  // --- bytes

  std::string_view TakeText(uint64_t size) {
    Require(size <= bytes_.size() - position_, ErrorKind::kFormat,
            "pickle ends in the middle of a value (at byte {})", bytes_.size());
    const size_t at = position_;
    position_ += size;
    return AsText(bytes_.subspan(at, size));
  }

  template <class T>
  T Take() {
    const size_t at = position_;
    TakeText(sizeof(T));
    return ReadLittleEndian<T>(bytes_, at);
  }

  std::string_view TakeLine() {
    constexpr size_t kMaxLine = 1000;
    const std::string_view rest = AsText(bytes_.subspan(position_)).substr(0, kMaxLine);
    const size_t end = rest.find('\n');
    Require(end != std::string_view::npos, ErrorKind::kFormat, "pickle: a name does not end");
    position_ += end + 1;
    return rest.substr(0, end);
  }

  // --- stack

  PickleValue& Push(Kind kind) {
    stack_.push_back(static_cast<uint32_t>(pickle_.values.size()));
    PickleValue& value = pickle_.values.emplace_back();
    value.kind = kind;
    return value;
  }

  void PushInt(Kind kind, int64_t integer) { Push(kind).integer = integer; }
  void PushText(Kind kind, std::string_view text) { Push(kind).text = text; }

  // Values below the last mark belong to whoever set it.
  size_t Floor() const { return marks_.empty() ? 0 : marks_.back(); }

  uint32_t Pop() {
    Require(stack_.size() > Floor(), ErrorKind::kFormat, "pickle takes a value that is not there");
    const uint32_t index = stack_.back();
    stack_.pop_back();
    return index;
  }

  PickleValue& Top(Kind kind) {
    Require(stack_.size() > Floor(), ErrorKind::kFormat, "pickle takes a value that is not there");
    PickleValue& value = pickle_.values[stack_.back()];
    Require(value.kind == kind, ErrorKind::kFormat, "pickle puts items into what is no container");
    return value;
  }

  std::vector<uint32_t> PopLast(size_t count) {
    std::vector<uint32_t> items(count);
    for (size_t i = count; i > 0; --i) items[i - 1] = Pop();
    return items;
  }

  std::vector<uint32_t> PopToMark() {
    Require(!marks_.empty(), ErrorKind::kFormat, "pickle takes a mark that is not there");
    std::vector<uint32_t> items = PopLast(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  // --- opcodes; each group says whether the opcode is one of its own

  bool Scalar(uint8_t opcode) {
    switch (opcode) {
      case kProto: {
        const auto protocol = Take<uint8_t>();
        Require(protocol >= 2 && protocol <= 5, ErrorKind::kUnsupported,
                "pickle protocol {} (2 to 5 are supported)", protocol);
        return true;
      }
      case kFrame: {
        const auto length = Take<uint64_t>();  // before position_ is looked at
        Require(length <= bytes_.size() - position_, ErrorKind::kFormat,
                "pickle frame is longer than the pickle");
        return true;
      }
      case kNone:
        return Push(Kind::kNone), true;
      case kNewTrue:
      case kNewFalse:
        return PushInt(Kind::kBool, opcode == kNewTrue ? 1 : 0), true;
      case kBinInt:
        return PushInt(Kind::kInt, static_cast<int32_t>(Take<uint32_t>())), true;
      case kBinInt1:
        return PushInt(Kind::kInt, Take<uint8_t>()), true;
      case kBinInt2:
        return PushInt(Kind::kInt, Take<uint16_t>()), true;
      case kLong1:
        return PushLong(TakeText(Take<uint8_t>())), true;
      case kLong4:
        return PushLong(TakeText(Take<uint32_t>())), true;
      case kBinFloat: {
        uint64_t bits = 0;  // the one big-endian number of the format
        for (int i = 0; i < 8; ++i) bits = bits << 8 | Take<uint8_t>();
        Push(Kind::kFloat).real = std::bit_cast<double>(bits);
        return true;
      }
      default:
        return Text(opcode);
    }
  }

  bool Text(uint8_t opcode) {
    switch (opcode) {
      case kBinUnicode:
        return PushText(Kind::kString, TakeText(Take<uint32_t>())), true;
      case kShortBinUnicode:
        return PushText(Kind::kString, TakeText(Take<uint8_t>())), true;
      case kBinUnicode8:
        return PushText(Kind::kString, TakeText(Take<uint64_t>())), true;
      case kBinBytes:
        return PushText(Kind::kBytes, TakeText(Take<uint32_t>())), true;
      case kShortBinBytes:
        return PushText(Kind::kBytes, TakeText(Take<uint8_t>())), true;
      case kBinBytes8:
        return PushText(Kind::kBytes, TakeText(Take<uint64_t>())), true;
      default:
        return false;
    }
  }

  // Two's complement, little-endian, any length.
  void PushLong(std::string_view digits) {
    const bool negative = !digits.empty() && (static_cast<uint8_t>(digits.back()) & 0x80) != 0;
    if (digits.size() <= sizeof(uint64_t)) {
      uint64_t bits = negative ? ~uint64_t{0} : 0;
      for (size_t i = digits.size(); i > 0; --i) {
        bits = bits << 8 | static_cast<uint8_t>(digits[i - 1]);
      }
      return PushInt(Kind::kInt, static_cast<int64_t>(bits));
    }
    double value = negative ? -1 : 0;
    for (size_t i = digits.size(); i > 0 && std::isfinite(value); --i) {
      value = value * 256 + static_cast<uint8_t>(digits[i - 1]);
    }
    Push(Kind::kFloat).real = value;
  }

  bool Container(uint8_t opcode) {
    switch (opcode) {
      case kMark:
        return marks_.push_back(stack_.size()), true;
      case kPop:
        return Pop(), true;
      case kPopMark:
        return PopToMark(), true;
      case kEmptyList:
      case kEmptySet:
        return Push(Kind::kList), true;
      case kEmptyDict:
        return Push(Kind::kDict), true;
      case kEmptyTuple:
        return Push(Kind::kTuple), true;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return PushItems(Kind::kTuple, PopLast(opcode - kTuple1 + size_t{1})), true;
      case kTuple:
        return PushItems(Kind::kTuple, PopToMark()), true;
      case kFrozenSet:
        return PushItems(Kind::kList, PopToMark()), true;
      case kAppend:
        return Extend(Kind::kList, PopLast(1)), true;
      case kAppends:
      case kAddItems:
        return Extend(Kind::kList, PopToMark()), true;
      case kSetItem:
        return Extend(Kind::kDict, PopLast(2)), true;
      case kSetItems:
        return Extend(Kind::kDict, PopToMark()), true;
      default:
        return false;
    }
  }

  void PushItems(Kind kind, std::vector<uint32_t> items) { Push(kind).items = std::move(items); }

  void Extend(Kind kind, const std::vector<uint32_t>& items) {
    Require(kind != Kind::kDict || items.size() % 2 == 0, ErrorKind::kFormat,
            "pickle sets a key without a value");
    PickleValue& container = Top(kind);
    container.items.insert(container.items.end(), items.begin(), items.end());
  }

  bool Object(uint8_t opcode) {
    switch (opcode) {
      case kGlobal: {
        const std::string module(TakeLine());
        return PushGlobal(module, TakeLine()), true;
      }
      case kStackGlobal: {
        const std::vector<uint32_t> names = PopLast(2);
        const PickleValue& module = pickle_[names[0]];
        const PickleValue& name = pickle_[names[1]];
        Require(module.kind == Kind::kString && name.kind == Kind::kString, ErrorKind::kFormat,
                "pickle names a global by what is no text");
        return PushGlobal(module.text, name.text), true;
      }
      case kReduce:
      case kNewObj:
        return Call(), true;
      case kBuild:
        return Build(), true;
      case kBinPersId:
        return PushItems(Kind::kPersistent, PopLast(1)), true;
      default:
        return false;
    }
  }

  void PushGlobal(std::string_view module, std::string_view name) {
    const std::string full = std::string(module) + "." + std::string(name);
    Require(allowed_(full), ErrorKind::kUnsupported,
            "pickle asks for '{}', which is not on the list of harmless names (nothing was "
            "executed); if you trust the file, save its weights alone with torch or as safetensors",
            Printable(full));
    PushText(Kind::kGlobal, full);
  }

  void Call() {
    const std::vector<uint32_t> call = PopLast(2);
    Require(pickle_[call[0]].kind == Kind::kGlobal && pickle_[call[1]].kind == Kind::kTuple,
            ErrorKind::kFormat, "pickle calls what is no function");
    const std::string name = pickle_[call[0]].text;
    if (name == kOrderedDict) {
      Require(pickle_[call[1]].items.empty(), ErrorKind::kUnsupported,
              "pickle fills an OrderedDict in a way that torch.save does not");
      return PushText(Kind::kDict, name);
    }
    PickleValue& value = Push(Kind::kCall);
    value.text = name;
    value.items = {call[1]};
  }

  void Build() {
    const uint32_t state = Pop();
    Require(stack_.size() > Floor(), ErrorKind::kFormat, "pickle takes a value that is not there");
    PickleValue& value = pickle_.values[stack_.back()];
    if (value.kind == Kind::kDict && value.text == kOrderedDict) return;  // attributes: _metadata
    Require(value.kind == Kind::kCall, ErrorKind::kFormat, "pickle gives a state to a plain value");
    value.items.push_back(state);
  }

  bool Memo(uint8_t opcode) {
    switch (opcode) {
      case kBinPut:
        return Put(Take<uint8_t>()), true;
      case kLongBinPut:
        return Put(Take<uint32_t>()), true;
      case kMemoize:
        return Put(static_cast<uint32_t>(memo_.size())), true;
      case kBinGet:
        return GetMemo(Take<uint8_t>()), true;
      case kLongBinGet:
        return GetMemo(Take<uint32_t>()), true;
      default:
        return false;
    }
  }

  void Put(uint32_t slot) {
    Require(stack_.size() > Floor(), ErrorKind::kFormat, "pickle takes a value that is not there");
    memo_[slot] = stack_.back();
  }

  void GetMemo(uint32_t slot) {
    const auto found = memo_.find(slot);
    Require(found != memo_.end(), ErrorKind::kFormat, "pickle refers to a value not yet read");
    stack_.push_back(found->second);
  }

  std::span<const std::byte> bytes_;
  const std::function<bool(std::string_view)>& allowed_;
  size_t position_ = 0;
  Pickle pickle_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, uint32_t> memo_;
};

}  // namespace

Pickle ParsePickle(std::span<const std::byte> bytes,
                   const std::function<bool(std::string_view)>& allowed) {
  Require(bytes.size() <= kMaxBytes, ErrorKind::kFormat, "pickle of {} bytes: at most {} are read",
          bytes.size(), kMaxBytes);
  return Reader(bytes, allowed).Run();
}

}  // namespace gesso
