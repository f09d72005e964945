// Reads a Python pickle (protocols 2 to 5) into a graph of plain values. Nothing is executed:
// a call in the file becomes a value that says what would have been called, with what.
// Format: CPython Lib/pickletools.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gesso {

// Values refer to each other by index, so that a hostile file's cycles and depth do no harm here;
// who walks the graph has to bound depth and total work, since values may be shared many times.
struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kBytes,
    kList,  // also sets
    kTuple,
    kDict,        // also collections.OrderedDict, without its attributes
    kGlobal,      // a class or function, by name
    kCall,        // what a call of a global would give
    kPersistent,  // what the program that wrote the pickle keeps outside it
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;          // kBool, kInt
  double real = 0;              // kFloat; also integers beyond 64 bits
  std::string text;             // kString (UTF-8), kBytes; kGlobal, kCall: "module.name"
  std::vector<uint32_t> items;  // kList, kTuple: elements; kDict: key, value, key, value ...;
                                // kCall: tuple of arguments, then states; kPersistent: its id
};

struct Pickle {
  std::vector<PickleValue> values;
  uint32_t root = 0;

  const PickleValue& operator[](uint32_t index) const { return values[index]; }
};

// Throws kFormat for anything malformed, kUnsupported for an opcode or a global (for which
// `allowed` is false) that is not known to be harmless, naming it.
Pickle ParsePickle(std::span<const std::byte> bytes,
                   const std::function<bool(std::string_view)>& allowed);

}  // namespace gesso
