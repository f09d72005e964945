#include "models/io/torch_zip.h"

#include <cmath>

#include "models/io/json.h"
#include "tests/support/files.h"
#include "tests/support/zip.h"

namespace gesso {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;

std::filesystem::path DataFile(const std::string& name) {
  return std::filesystem::path(GESSO_SOURCE_DIR) / "tests/data/torch" / name;
}

// The elements as numbers.
std::vector<double> Values(const Tensor& tensor) {
  const bool floating = tensor.dtype() == DType::kF16 || tensor.dtype() == DType::kBF16 ||
                        tensor.dtype() == DType::kF32 || tensor.dtype() == DType::kF64;
  const Tensor wide = Cast(tensor, floating ? DType::kF64 : DType::kI64);
  std::vector<double> values;
  for (int64_t i = 0; i < wide.view().numel(); ++i) {
    values.push_back(floating ? wide.Data<double>()[i]
                              : static_cast<double>(wide.Data<int64_t>()[i]));
  }
  return values;
}

TEST(TorchZip, ReadsATrainingCheckpoint) {
  const Weights weights = ParseTorchZip(MapFile(DataFile("training.pth")));
  EXPECT_THAT(Values(weights.At("model_ema.layer.weight")),
              ElementsAre(0, 0.125, 0.25, 0.375, 0.5, 0.625));
  EXPECT_EQ(weights.At("model_ema.layer.weight").shape(), (Shape{2, 3}));
  EXPECT_EQ(weights.At("model.bias").shape(), (Shape{2}));
  EXPECT_THAT(Values(weights.At("opt.state.0.step")), ElementsAre(1));
  EXPECT_EQ(weights.At("opt.state.1.exp_avg").shape(), (Shape{2}));

  const Json config = ParseJson(weights.metadata.at("config"), "config");
  EXPECT_EQ(config["model"]["type"], "image_transformer_v2");
  EXPECT_EQ(config["model"]["widths"], (Json{128, 256}));
  EXPECT_EQ(config["model"]["rate"], 0.5);
  EXPECT_EQ(weights.metadata.at("step"), "7");
  EXPECT_EQ(weights.metadata.at("note"), "a plain text");
  EXPECT_EQ(weights.metadata.at("none"), "null");
  const Json arguments = ParseJson(weights.metadata.at("args"), "args");
  EXPECT_EQ(arguments,
            (Json{{"name", "small"}, {"seed", 1099511627776}, {"dtype", "torch.bfloat16"}}));
  EXPECT_EQ(ParseJson(weights.metadata.at("opt"), "opt")["param_groups"][0]["params"],
            (Json{0, 1}));
  EXPECT_FALSE(weights.metadata.contains("model"));
}

void ExpectViews(const Weights& weights) {
  EXPECT_EQ(weights.At("transposed").shape(), (Shape{4, 2, 3}));
  const std::vector<double> turned = Values(weights.At("transposed"));
  for (int64_t i = 0; i < 24; ++i) {
    EXPECT_EQ(turned[static_cast<size_t>(i)], static_cast<double>(i % 6 * 4 + i / 6));
  }
  EXPECT_THAT(Values(weights.At("slice")), ElementsAre(16, 17, 18, 19, 20, 21, 22, 23));
  EXPECT_THAT(Values(weights.At("columns")),
              ElementsAre(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23));
  EXPECT_EQ(weights.At("columns").shape(), (Shape{2, 3, 2}));
  EXPECT_THAT(Values(weights.At("expanded")), ElementsAre(5, 5, 5, 6, 6, 6));
  EXPECT_THAT(Values(weights.At("channels_last")),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  EXPECT_THAT(Values(weights.At("parameter")), ElementsAre(1.25, -2));
  EXPECT_EQ(weights.At("scalar").shape(), Shape{});
  EXPECT_THAT(Values(weights.At("scalar")), ElementsAre(3.5));
  EXPECT_EQ(weights.At("empty").shape(), (Shape{0, 4}));
  EXPECT_THAT(Values(weights.At("list.2")), ElementsAre(2));
  EXPECT_EQ(weights.metadata.at("list"), R"([null,"between",null])");
  EXPECT_THAT(Values(weights.At("f16")), ElementsAre(0.5, -1.5, 65504));
  EXPECT_EQ(weights.At("bf16").dtype(), DType::kBF16);
  EXPECT_EQ(Values(weights.At("bf16"))[1], -1.5);
  EXPECT_THAT(Values(weights.At("f16_transposed")), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(Values(weights.At("f64")), ElementsAre(1.0 / 3));
  EXPECT_THAT(Values(weights.At("i64")), ElementsAre(-0x1p40));
  for (const char* name : {"i32", "i16", "i8", "u8"}) {
    EXPECT_THAT(Values(weights.At(name)), ElementsAre(1, 0, 2, 127)) << name;
  }
  EXPECT_THAT(Values(weights.At("bool")), ElementsAre(1, 0));
}

TEST(TorchZip, ReadsEveryTypeAndLayout) {
  ExpectViews(ParseTorchZip(MapFile(DataFile("views.pth"))));
  ExpectViews(ParseTorchZip(MapFile(DataFile("views_protocol4.pth"))));
}

TEST(TorchZip, SharesStoragesAndDoesNotCopyThem) {
  const FileBytes file = MapFile(DataFile("views.pth"));
  const Weights weights = ParseTorchZip(file);
  const auto* base = weights.At("base").Data<float>();
  EXPECT_EQ(weights.At("slice").Data<float>(), base + 16);
  const auto* byte = reinterpret_cast<const std::byte*>(base);  // NOLINT: its address
  EXPECT_TRUE(byte >= file.bytes.data() && byte < file.bytes.data() + file.bytes.size());
}

TEST(TorchZip, SaysWhatItWillNotRead) {
  const auto refused = [](const std::string& name, const std::vector<std::string>& words) {
    std::vector<std::string> all = words;
    all.push_back(name);
    ExpectError(ErrorKind::kUnsupported, all, [&] { ParseTorchZip(MapFile(DataFile(name))); });
  };
  refused("malicious.pth", {"posix.system", "nothing was executed"});
  refused("float8.pth", {"tensor 'w'", "element type"});
  refused("script.pt", {"TorchScript", "state_dict"});
  EXPECT_FALSE(std::filesystem::exists("/tmp/gesso-was-executed"));
}

TEST(TorchZip, RefusesTruncationAtEveryByte) {
  const std::string file = ReadFile(DataFile("training.pth"), 1 << 20);
  for (size_t size = 0; size < file.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectError(ErrorKind::kFormat, {"test.file", "truncated download"},
                [&] { ParseTorchZip(InMemory(file.substr(0, size))); });
  }
}

TEST(TorchZip, SurvivesAnyChangedByte) {
  const std::string file = ReadFile(DataFile("training.pth"), 1 << 20);
  for (size_t at = 0; at < file.size(); ++at) {
    for (const int value : {0, 1, 0x7f, 0xff, int{'.'}, int{'R'}}) {
      std::string changed = file;
      changed[at] = static_cast<char>(value);
      ExpectSuccessOrError([&] { ParseTorchZip(InMemory(changed)); });
    }
  }
}

// --- files written by hand

std::string Text(const std::string& text) { return "X"s + LittleEndian(text.size(), 4) + text; }
std::string Integer(int64_t value) {
  return "\x8a\x08"s + LittleEndian(static_cast<uint64_t>(value), 8);
}
std::string Tuple(const std::vector<int64_t>& values) {
  std::string tuple = "(";
  for (const int64_t value : values) tuple += Integer(value);
  return tuple + "t";
}

struct TensorSpec {
  std::string type = "FloatStorage";
  std::string key = "0";
  int64_t numel = 6;
  int64_t offset = 0;
  std::vector<int64_t> size = {2, 3};
  std::vector<int64_t> stride = {3, 1};
};

std::string TensorOf(const TensorSpec& spec) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + Text("storage") + "ctorch\n" + spec.type + "\n" +
         Text(spec.key) + Text("cpu") + Integer(spec.numel) + "tQ" + Integer(spec.offset) +
         Tuple(spec.size) + Tuple(spec.stride) + "\x89)tR";
}

// A dictionary {"w": `value`}.
std::string Program(const std::string& value) { return "\x80\x02}"s + Text("w") + value + "s."; }

std::string File(const std::string& pickle, const std::string& byte_order = "little") {
  const std::vector<float> data = {0, 1, 2, 3, 4, 5};
  const std::string storage(reinterpret_cast<const char*>(data.data()), 24);  // NOLINT: its bytes
  return MakeZip({{"x/data.pkl", pickle}, {"x/byteorder", byte_order}, {"x/data/0", storage}});
}

Weights ParseValue(const std::string& value) {
  return ParseTorchZip(InMemory(File(Program(value))));
}

void ExpectRefused(const std::string& value, std::vector<std::string> words,
                   ErrorKind kind = ErrorKind::kFormat) {
  SCOPED_TRACE(testing::PrintToString(words));
  words.push_back("test.file: ");
  ExpectError(kind, words, [&] { ParseValue(value); });
}

TEST(TorchZip, ReadsAFileWrittenByHand) {
  EXPECT_THAT(Values(ParseValue(TensorOf({})).At("w")), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(Values(ParseValue(TensorOf({.size = {3, 2}, .stride = {1, 3}})).At("w")),
              ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(Values(ParseValue(TensorOf({.offset = 5, .size = {}, .stride = {}})).At("w")),
              ElementsAre(5));
  EXPECT_THAT(Values(ParseValue(TensorOf({.offset = 6, .size = {0}, .stride = {1}})).At("w")),
              ElementsAre());
}

TEST(TorchZip, RefusesTensorsThatLeaveTheirStorage) {
  const std::vector<std::string> behind = {"tensor 'w'", "behind the end"};
  ExpectRefused(TensorOf({.offset = 1}), behind);
  ExpectRefused(TensorOf({.offset = 7, .size = {0}, .stride = {1}}), behind);
  ExpectRefused(TensorOf({.offset = 6, .size = {}, .stride = {}}), behind);
  ExpectRefused(TensorOf({.size = {2, 4}, .stride = {3, 1}}), behind);
  ExpectRefused(TensorOf({.size = {2, 3}, .stride = {4, 1}}), behind);
  const int64_t huge = int64_t{1} << 62;
  ExpectRefused(TensorOf({.offset = huge}), behind);
  ExpectRefused(TensorOf({.size = {5}, .stride = {huge}}), {"tensor 'w'", "strides are too large"});
  ExpectRefused(TensorOf({.size = {2, 2, 2}, .stride = {huge, huge, huge}}),
                {"tensor 'w'", "strides are too large"});
  ExpectRefused(TensorOf({.size = {huge, 2}, .stride = {0, 0}}), {"tensor 'w'", "too large"});
  ExpectRefused(TensorOf({.size = {-1}, .stride = {1}}), {"tensor 'w'", "size is not a number"});
  ExpectRefused(TensorOf({.size = {2}, .stride = {-1}}), {"tensor 'w'", "stride is not a number"});
  ExpectRefused(TensorOf({.offset = -1}), {"tensor 'w'", "offset is not a number"});
  ExpectRefused(TensorOf({.size = {6}}), {"tensor 'w'", "1 dimensions, stride 2"});
  ExpectRefused(TensorOf({.size = {1, 1, 1, 1, 1, 2, 3}, .stride = {6, 6, 6, 6, 6, 3, 1}}),
                {"tensor 'w'", "6 dimensions"}, ErrorKind::kUnsupported);
  // 24 bytes that claim to be 4 GiB.
  ExpectRefused(TensorOf({.size = {1 << 30}, .stride = {0}}), {"far more than its size"});
}

TEST(TorchZip, RefusesStoragesThatDoNotFit) {
  ExpectRefused(TensorOf({.key = "1"}), {"tensor 'w'", "'x/data/1' is not in the file"});
  ExpectRefused(TensorOf({.numel = 7}), {"tensor 'w'", "7 elements", "has 24 bytes"});
  ExpectRefused(TensorOf({.type = "DoubleStorage"}), {"tensor 'w'", "has 24 bytes"});
  ExpectRefused(TensorOf({.numel = int64_t{1} << 62}), {"tensor 'w'", "has 24 bytes"});
  ExpectRefused(TensorOf({.type = "Size"}), {"tensor 'w'", "'torch.Size' is not a storage type"});
  ExpectRefused(TensorOf({.type = "ComplexFloatStorage"}), {"torch.ComplexFloatStorage"},
                ErrorKind::kUnsupported);
  ExpectRefused("ctorch._utils\n_rebuild_tensor_v2\n)R", {"tensor 'w'", "lacks arguments"});
  ExpectRefused("ctorch._utils\n_rebuild_tensor_v2\n(NK\1))tR", {"tensor 'w'", "has no storage"});
  ExpectRefused("ctorch._utils\n_rebuild_tensor_v2\n(NQK\1))tR", {"tensor 'w'", "not described"});
}

TEST(TorchZip, RefusesOtherArchivesAndObjects) {
  const auto refused = [](const std::string& file, const std::string& words,
                          ErrorKind kind = ErrorKind::kFormat) {
    ExpectError(kind, {"test.file: ", words}, [&] { ParseTorchZip(InMemory(file)); });
  };
  refused(File(Program("N"), "big"), "big-endian", ErrorKind::kUnsupported);
  refused(File("\x80\x02].", "little"), "does not hold a dictionary");
  refused(MakeZip({{"a.npy", "x"}}), "no data.pkl");
  refused(MakeZip({{"x/y/data.pkl", "N."}}), "no data.pkl");
  refused(File("}NK\1s."), "keys other than text", ErrorKind::kUnsupported);
  ExpectRefused("C\1x", {"'w'", "raw bytes"}, ErrorKind::kUnsupported);
  ExpectRefused("cargparse\nNamespace\n)\x81", {"'w'", "namespace without"});
  ExpectRefused("ctorch\nSize\n)R", {"'w'", "torch.Size cannot be called so"});
  const std::string twice =
      "}"s + Text("a.b") + TensorOf({}) + "s" + Text("a") + "}" + Text("b") + TensorOf({}) + "ss.";
  refused(File(twice), "tensor 'a.b': two of this name");
}

TEST(TorchZip, BoundsWhatSharingUnfoldsTo) {
  ExpectRefused(std::string(200, ']') + std::string(199, 'a'), {"nests deeper than 64"});
  ExpectRefused("]q\1h\1a", {"nests deeper than 64"});
  // Twenty levels of ten times the same list: a million million million values.
  std::string laughs = "]K\1aq\1";
  for (int level = 0; level < 20; ++level) {
    laughs += "0](";
    for (int i = 0; i < 10; ++i) laughs += "h\1";
    laughs += "eq\1";
  }
  ExpectRefused(laughs, {"far more than its size"});
}

}  // namespace
}  // namespace gesso
