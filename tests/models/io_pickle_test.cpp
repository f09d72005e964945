#include "models/io/pickle.h"

#include "tests/support/files.h"

namespace gesso {
namespace {

using Kind = PickleValue::Kind;
using namespace std::string_literals;

Pickle Parse(const std::string& pickle) {
  return ParsePickle(InMemory(pickle).bytes, [](std::string_view name) {
    return name == "collections.OrderedDict" || name == "some.Thing";
  });
}

const PickleValue& Root(const Pickle& pickle) { return pickle[pickle.root]; }

void ExpectRefused(const std::string& pickle, const std::string& words,
                   ErrorKind kind = ErrorKind::kFormat) {
  SCOPED_TRACE(testing::PrintToString(pickle.substr(0, 60)));
  ExpectError(kind, {words}, [&] { Parse(pickle); });
}

int64_t Int(const std::string& opcodes) {
  const Pickle pickle = Parse(opcodes + ".");
  EXPECT_EQ(Root(pickle).kind, Kind::kInt);
  return Root(pickle).integer;
}

TEST(Pickle, ReadsNumbers) {
  EXPECT_EQ(Int("K\xff"), 255);
  EXPECT_EQ(Int("M\x01\x02"), 0x201);
  EXPECT_EQ(Int("J\xff\xff\xff\xff"), -1);
  EXPECT_EQ(Int("\x8a\0"s), 0);
  EXPECT_EQ(Int("\x8a\x01\x80"), -128);
  EXPECT_EQ(Int("\x8a\x02\xff\0"s), 255);
  EXPECT_EQ(Int("\x8b\x05\0\0\0\0\0\0\0\x01"s), int64_t{1} << 32);
  const Pickle wide = Parse("\x8a\x09\0\0\0\0\0\0\0\0\x01."s);
  EXPECT_EQ(Root(wide).kind, Kind::kFloat);
  EXPECT_EQ(Root(wide).real, 0x1p64);
  const Pickle real = Parse("G\x3f\xf8\0\0\0\0\0\0."s);
  EXPECT_EQ(Root(real).real, 1.5);
  EXPECT_EQ(Root(Parse("\x88.")).integer, 1);
  EXPECT_EQ(Root(Parse("N.")).kind, Kind::kNone);
}

TEST(Pickle, ReadsTextAndContainers) {
  EXPECT_EQ(Root(Parse("X\x02\0\0\0ab."s)).text, "ab");
  EXPECT_EQ(Root(Parse("\x8c\x02"s + "ab.")).text, "ab");
  EXPECT_EQ(Root(Parse("\x8d\x02\0\0\0\0\0\0\0ab."s)).text, "ab");
  EXPECT_EQ(Root(Parse("C\x02"s + "ab.")).kind, Kind::kBytes);
  const Pickle list = Parse("\x80\x02](K\1K\2eK\3a.");
  ASSERT_EQ(Root(list).items.size(), 3u);
  EXPECT_EQ(list[Root(list).items[2]].integer, 3);
  const Pickle tuple = Parse("(K\1K\2K\3K\4t.");
  EXPECT_EQ(Root(tuple).kind, Kind::kTuple);
  EXPECT_EQ(tuple[Root(tuple).items[0]].integer, 1);
  EXPECT_EQ(Root(Parse("K\1K\2K\3\x87.")).items.size(), 3u);
  const Pickle dict = Parse("}(K\1K\2K\3K\4uK\5K\6s.");
  EXPECT_EQ(Root(dict).kind, Kind::kDict);
  EXPECT_EQ(dict[Root(dict).items[5]].integer, 6);
  EXPECT_EQ(Root(Parse("\x8f(K\1\x90.")).items.size(), 1u);
}

TEST(Pickle, RemembersValues) {
  const Pickle put = Parse("K\7q\3K\1h\3\x86.");
  EXPECT_EQ(put[Root(put).items[1]].integer, 7);
  const Pickle memoized = Parse("K\7\x94K\1j\0\0\0\0\x86."s);
  EXPECT_EQ(memoized[Root(memoized).items[1]].integer, 7);
  const Pickle cycle = Parse("]q\1h\1a.");  // a list that holds itself
  EXPECT_EQ(Root(cycle).items[0], cycle.root);
}

TEST(Pickle, RecordsCallsWithoutMakingThem) {
  const Pickle call = Parse("csome\nThing\nK\1\x85R}b.");
  EXPECT_EQ(Root(call).kind, Kind::kCall);
  EXPECT_EQ(Root(call).text, "some.Thing");
  ASSERT_EQ(Root(call).items.size(), 2u);  // arguments, state
  EXPECT_EQ(call[Root(call).items[0]].kind, Kind::kTuple);
  const Pickle ordered = Parse("ccollections\nOrderedDict\n)R(K\1K\2u}b.");
  EXPECT_EQ(Root(ordered).kind, Kind::kDict);
  EXPECT_EQ(Root(ordered).items.size(), 2u);
}

TEST(Pickle, RefusesOtherGlobalsByName) {
  ExpectRefused("cposix\nsystem\n.", "'posix.system'", ErrorKind::kUnsupported);
  ExpectRefused("\x8c\x08"s + "builtins\x8c\x04"s + "eval\x93.", "'builtins.eval'",
                ErrorKind::kUnsupported);
  ExpectRefused("c\x1b[31m\nx\n.", "'?[31m.x'", ErrorKind::kUnsupported);
  ExpectRefused("c" + std::string(100000, 'm') + "\nx\n.", "name does not end");
}

TEST(Pickle, RefusesOtherOpcodes) {
  ExpectRefused("I1\n.", "opcode 0x49 at byte 0", ErrorKind::kUnsupported);  // text protocol
  ExpectRefused("\x82\1.", "opcode 0x82", ErrorKind::kUnsupported);          // copyreg
  ExpectRefused("(isys\nexit\n.", "opcode 0x69", ErrorKind::kUnsupported);   // INST
  ExpectRefused("\x80\x06.", "protocol 6", ErrorKind::kUnsupported);
  ExpectRefused("\x80\x01.", "protocol 1", ErrorKind::kUnsupported);
}

TEST(Pickle, RefusesMalformedPrograms) {
  for (const std::string& program : {"."s, "0."s, "a."s, "K\1a."s, "\x86."s, "R."s, "b."s, "Q."s,
                                     "q\1."s, "K\1(0."s, "K\1(a."s, "(."s}) {
    ExpectRefused(program, "not there");
  }
  ExpectRefused("t.", "mark that is not there");
  ExpectRefused("1.", "mark that is not there");
  ExpectRefused("h\1.", "not yet read");
  ExpectRefused("K\1K\2a.", "no container");
  ExpectRefused("](K\1K\2u.", "no container");
  ExpectRefused("}(K\1u.", "key without a value");
  ExpectRefused("K\1)R.", "calls what is no function");
  ExpectRefused("csome\nThing\nK\1R.", "calls what is no function");
  ExpectRefused("]}b.", "state to a plain value");
  ExpectRefused("K\1K\2\x93.", "no text");
  ExpectRefused("\x95\xff\0\0\0\0\0\0\0."s, "frame is longer");
  ExpectRefused("X\xff\xff\xff\xff.", "middle of a value");
  ExpectRefused("\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "middle of a value");
  ExpectRefused("\x8b\xff\xff\xff\xff.", "middle of a value");
}

TEST(Pickle, RefusesTruncationAtEveryByte) {
  const std::string whole =
      "\x80\x02}(X\1\0\0\0aG\x3f\xf8\0\0\0\0\0\0X\1\0\0\0bcsome\nThing\n(K\1M\1\1J\1\1\1\1tRq\1u."s;
  EXPECT_EQ(Root(Parse(whole)).items.size(), 4u);
  for (size_t size = 0; size < whole.size(); ++size) {
    ExpectError(ErrorKind::kFormat, {"pickle"}, [&] { Parse(whole.substr(0, size)); });
  }
}

TEST(Pickle, BoundsWhatItBuilds) {
  const size_t many = size_t{3} << 20;
  ExpectRefused(std::string(many, 'N') + ".", "more than");
  ExpectRefused(std::string(many, '(') + ".", "more than");
  const Pickle deep = Parse(std::string(1 << 20, ']') + std::string((1 << 20) - 1, 'a') + ".");
  EXPECT_EQ(Root(deep).kind, Kind::kList);  // a million levels, and no recursion to free them
}

}  // namespace
}  // namespace gesso
