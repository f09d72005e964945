#include "models/io/safetensors.h"

#include <cmath>

#include "tests/support/files.h"

namespace gesso {
namespace {

std::string File(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  return file + header + data;
}

Weights Parse(const std::string& header, const std::string& data) {
  return ParseSafetensors(InMemory(File(header, data)));
}

// The header breaks a rule: kind and words of the message, which always names the file.
void ExpectRefused(const std::string& header, const std::string& data,
                   std::vector<std::string> words, ErrorKind kind = ErrorKind::kFormat) {
  SCOPED_TRACE(header.substr(0, 200));
  words.insert(words.begin(), "test.file: ");
  ExpectError(kind, words, [&] { Parse(header, data); });
}

const std::string kData(24, '\1');

std::string Tensor6(const std::string& dtype, const std::string& shape,
                    const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

TEST(Safetensors, ReadsEveryElementType) {
  const std::string header = R"({"f64":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},
    "i64":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},
    "f32":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},
    "i32":{"dtype":"I32","shape":[1],"data_offsets":[20,24]},
    "f16":{"dtype":"F16","shape":[1],"data_offsets":[24,26]},
    "bf16":{"dtype":"BF16","shape":[1],"data_offsets":[26,28]},
    "i16":{"dtype":"I16","shape":[1],"data_offsets":[28,30]},
    "i8":{"dtype":"I8","shape":[1],"data_offsets":[30,31]},
    "u8":{"dtype":"U8","shape":[1],"data_offsets":[31,32]},
    "bool":{"dtype":"BOOL","shape":[1],"data_offsets":[32,33]}})";
  std::string data;
  const auto add = [&](auto value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof(value));  // NOLINT: its bytes
  };
  add(1.0 / 3);
  add(int64_t{-5'000'000'000});
  add(0.1f);
  add(int32_t{-7});
  add(uint16_t{0x3e00});  // 1.5
  add(BFloat16(-2.5f));
  add(int16_t{-300});
  add(int8_t{-3});
  add(uint8_t{200});
  add(uint8_t{1});
  const Weights weights = Parse(header, data);
  EXPECT_EQ(weights.tensors.size(), 10u);
  EXPECT_EQ(*weights.At("f64").Data<double>(), 1.0 / 3);
  EXPECT_EQ(*weights.At("i64").Data<int64_t>(), -5'000'000'000);
  EXPECT_EQ(*weights.At("f32").Data<float>(), 0.1f);
  EXPECT_EQ(*weights.At("i32").Data<int32_t>(), -7);
  EXPECT_EQ(*Cast(weights.At("f16"), DType::kF32).Data<float>(), 1.5f);
  EXPECT_EQ(*Cast(weights.At("bf16"), DType::kF32).Data<float>(), -2.5f);
  EXPECT_EQ(*Cast(weights.At("i16"), DType::kI64).Data<int64_t>(), -300);
  EXPECT_EQ(*weights.At("i8").Data<int8_t>(), -3);
  EXPECT_EQ(*weights.At("u8").Data<uint8_t>(), 200);
  EXPECT_EQ(weights.At("bool").dtype(), DType::kBool);
}

TEST(Safetensors, ReadsEmptyTensorsScalarsMetadataAndPadding) {
  const Weights weights = Parse(R"({"__metadata__":{"format":"pt","config":"{}"},
                "none":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},
                "one":{"dtype":"U8","shape":[],"data_offsets":[0,1]},
                "end":{"dtype":"F64","shape":[3,0],"data_offsets":[1,1]}}     )",
                                "\7");
  EXPECT_EQ(weights.At("none").shape(), (Shape{0, 4}));
  EXPECT_FALSE(weights.At("none").empty());
  EXPECT_EQ(weights.At("one").shape(), Shape{});
  EXPECT_EQ(*weights.At("one").Data<uint8_t>(), 7);
  EXPECT_EQ(weights.At("end").view().bytes(), 0u);
  EXPECT_EQ(weights.metadata,
            (std::map<std::string, std::string>{{"format", "pt"}, {"config", "{}"}}));
  EXPECT_TRUE(Parse("{}", "").tensors.empty());
}

TEST(Safetensors, CopiesTensorsThatTheFileDoesNotAlign) {
  for (int pad = 0; pad < 8; ++pad) {
    std::string data(1, '\1');
    const float value = 0.75f;
    data.append(reinterpret_cast<const char*>(&value), sizeof(value));  // NOLINT: its bytes
    const std::string header = R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},
      "b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})" +
                               std::string(static_cast<size_t>(pad), ' ');
    const Weights weights = Parse(header, data);
    EXPECT_TRUE(IsAligned(static_cast<const std::byte*>(weights.At("b").view().data), DType::kF32));
    EXPECT_EQ(*weights.At("b").Data<float>(), value);
  }
}

TEST(Safetensors, RefusesABrokenHeader) {
  ExpectRefused(" {}", "", {"does not start with '{'"});
  ExpectRefused("[]", "", {"does not start with '{'"});
  ExpectRefused("{", "", {"not valid JSON"});
  ExpectRefused("{}{}", "", {"not valid JSON"});
  ExpectRefused(std::string("{}\0x", 4), "", {"zero byte"});
  ExpectRefused("{\"\xff\":1}", "", {"not valid JSON"});
  ExpectRefused(R"({"w":1})", "", {"tensor 'w'", "a number"});
  ExpectRefused(R"({"w":null})", "", {"tensor 'w'", "null"});
  ExpectRefused(R"({"__metadata__":[]})", "", {"__metadata__", "an array"});
  ExpectRefused(R"({"__metadata__":{"a":1}})", "", {"__metadata__", "'a'", "instead of a string"});
  ExpectRefused(R"({"__metadata__":{"a":{}}})", "", {"__metadata__", "'a'", "an object"});
  ExpectRefused(R"({"__metadata__":{"a":"1","a":"2"}})", "", {"__metadata__", "duplicate key 'a'"});
}

TEST(Safetensors, RefusesABrokenEntry) {
  const std::string good = R"({"dtype":"F32","shape":[6],"data_offsets":[0,24]})";
  ExpectRefused(R"({"w":)" + good + R"(,"w":)" + good + "}", kData, {"duplicate key 'w'"});
  ExpectRefused(R"({"w":{"shape":[6],"data_offsets":[0,24]}})", kData, {"'w'", "'dtype'"});
  ExpectRefused(R"({"w":{"dtype":"F32","data_offsets":[0,24]}})", kData, {"'w'", "'shape'"});
  ExpectRefused(R"({"w":{"dtype":"F32","shape":[6]}})", kData, {"'w'", "'data_offsets'"});
  ExpectRefused(R"({"w":{"dtype":"F32","dtype":"F32"}})", kData, {"'w'", "duplicate key 'dtype'"});
  ExpectRefused(R"({"w":{"colour":"red"}})", kData, {"'w'", "unknown field 'colour'"});
  ExpectRefused(R"({"w":{"dtype":7}})", kData, {"'w'", "a number", "'dtype'"});
  ExpectRefused(Tensor6("F32", "6", "[0,24]"), kData, {"'w'", "a number", "'shape'"});
  ExpectRefused(Tensor6("F32", "[[6]]", "[0,24]"), kData, {"'w'", "an array", "'shape'"});
  ExpectRefused(Tensor6("F32", "[6]", "[0]"), kData, {"'w'", "two numbers"});
  ExpectRefused(Tensor6("F32", "[6]", "[0,24,48]"), kData, {"'w'", "two numbers"});
  ExpectRefused(Tensor6("F33", "[6]", "[0,24]"), kData, {"'w'", "unknown dtype 'F33'"});
  ExpectRefused(Tensor6("F6_E2M3", "[24]", "[0,24]"), kData, {"'w'", "F6_E2M3", "not supported"},
                ErrorKind::kUnsupported);
}

TEST(Safetensors, RefusesShapesThatDoNotFit) {
  ExpectRefused(Tensor6("F32", "[-6]", "[0,24]"), kData, {"'w'", "negative", "'shape'"});
  ExpectRefused(Tensor6("F32", "[6.0]", "[0,24]"), kData, {"'w'", "not an integer", "'shape'"});
  ExpectRefused(Tensor6("F32", "[18446744073709551615]", "[0,24]"), kData, {"'w'", "too large"});
  ExpectRefused(Tensor6("F32", "[99999999999999999999]", "[0,24]"), kData, {"'w'", "too large"});
  ExpectRefused(Tensor6("F32", "[5]", "[0,24]"), kData, {"'w'", "[5]", "20 bytes", "24"});
  ExpectRefused(Tensor6("F32", "[2,3,2]", "[0,24]"), kData, {"'w'", "48 bytes"});
  // 2^62 * 4 and 2^33 * 2^33 wrap around to a size that would fit.
  ExpectRefused(Tensor6("F32", "[4611686018427387904]", "[0,0]"), "", {"'w'", "too large"});
  ExpectRefused(Tensor6("U8", "[8589934592,8589934592]", "[0,0]"), "", {"'w'", "too large"});
  ExpectRefused(Tensor6("U8", "[0,8589934592,8589934592]", "[0,0]"), "", {"'w'", "too large"});
  ExpectRefused(Tensor6("U8", "[1,1,1,1,1,1,24]", "[0,24]"), kData, {"'w'", "6 dimensions"},
                ErrorKind::kUnsupported);
}

TEST(Safetensors, RefusesRangesThatOverlapLeaveHolesOrEndEarly) {
  const auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"U8","shape":[12],"data_offsets":)" + a +
           R"(},"b":{"dtype":"U8","shape":[12],"data_offsets":)" + b + "}}";
  };
  EXPECT_EQ(Parse(two("[12,24]", "[0,12]"), kData).tensors.size(), 2u);  // any order is legal
  ExpectRefused(two("[0,12]", "[11,23]"), kData, {"'b'", "overlap"});
  ExpectRefused(two("[0,12]", "[0,12]"), kData, {"overlap"});
  ExpectRefused(two("[0,12]", "[13,25]"), kData + " ", {"'b'", "1 bytes", "no tensor"});
  ExpectRefused(two("[1,13]", "[13,25]"), kData + " ", {"'a'", "1 bytes", "no tensor"});
  ExpectRefused(two("[0,12]", "[12,24]"), kData + "xy", {"2 bytes at the end"});
  ExpectRefused(two("[0,12]", "[12,24]"), kData.substr(1), {"'b'", "24", "23", "truncated"});
  ExpectRefused(Tensor6("U8", "[24]", "[24,0]"), kData, {"'w'", "end before they begin"});
  ExpectRefused(Tensor6("U8", "[24]", "[0,-1]"), kData, {"'w'", "negative"});
  ExpectRefused(Tensor6("U8", "[24]", "[9223372036854775807,9223372036854775807]"), kData, {"'w'"});
}

TEST(Safetensors, RefusesHeaderSizesBeyondTheFile) {
  const auto refused = [](std::string file, const std::string& words) {
    ExpectError(ErrorKind::kFormat, {"test.file", words},
                [&] { ParseSafetensors(InMemory(file)); });
  };
  std::string file = File("{}", "");
  refused(file.substr(0, 8), "too few");
  refused(file.substr(0, 9), "truncated download");
  file[0] = '\3';
  refused(file, "truncated download");
  file[7] = '\x7f';
  refused(file, "at most 100000000");
}

TEST(Safetensors, LeavesNoDoubtAboutTruncatedFiles) {
  const std::string file =
      File(R"({"__metadata__":{"a":"b"},)" + Tensor6("F32", "[2,3]", "[0,24]").substr(1), kData);
  EXPECT_NO_THROW(ParseSafetensors(InMemory(file)));
  for (size_t size = 0; size < file.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectError(ErrorKind::kFormat, {"test.file"},
                [&] { ParseSafetensors(InMemory(file.substr(0, size))); });
  }
}

TEST(Safetensors, SurvivesAnyChangedByte) {
  const std::string file = File(Tensor6("F32", "[2,3]", "[0,24]"), kData);
  for (size_t at = 0; at < file.size() - kData.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = file;
      changed[at] = static_cast<char>(value);
      ExpectSuccessOrError([&] { ParseSafetensors(InMemory(changed)); });
    }
  }
}

TEST(Safetensors, KeepsHostileNamesOutOfMessages) {
  const std::string name(5000, 'n');
  ExpectRefused(R"({"\u001b[31m)" + name + R"(":{"dtype":"F33","shape":[],"data_offsets":[0,1]}})",
                "x", {"tensor '?[31mnnn", "nnn...'"});
}

TEST(Safetensors, ReadsWhatItWrote) {
  const TempFolder folder;
  const auto path = folder.path() / "x.safetensors";
  Tensor odd(Shape{3}, DType::kU8);
  odd.MutableData<uint8_t>()[1] = 7;
  Tensor wide(Shape{2, 3}, DType::kF32);
  for (int i = 0; i < 6; ++i) wide.MutableData<float>()[i] = 0.5f * static_cast<float>(i);
  Tensor half(Shape{2, 0}, DType::kF16);
  WriteSafetensors(path, {{"a", odd}, {"b", wide}, {"c", half}}, {{"config", "{\"k\":1}"}});
  const Weights weights = ParseSafetensors(MapFile(path));
  EXPECT_EQ(weights.At("a").Data<uint8_t>()[1], 7);
  EXPECT_EQ(weights.At("b").shape(), (Shape{2, 3}));
  EXPECT_EQ(weights.At("b").Data<float>()[5], 2.5f);
  EXPECT_EQ(weights.At("c").shape(), (Shape{2, 0}));
  EXPECT_EQ(weights.metadata.at("config"), "{\"k\":1}");
  EXPECT_EQ(weights.path, path);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Safetensors, LeavesNoPartOfAFileThatCannotBeWritten) {
  const TempFolder folder;
  Tensor tensor(Shape{1}, DType::kF32);
  const auto path = folder.path() / "absent" / "x.safetensors";
  ExpectError(ErrorKind::kOutput, {path.string()}, [&] {
    WriteSafetensors(path, {{"w", tensor}}, {});
  });
  ExpectError(ErrorKind::kOutput, {"UTF-8"}, [&] {
    WriteSafetensors(folder.path() / "x.safetensors", {{"\xff", tensor}}, {});
  });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace gesso
