#include "models/io/weights.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "models/io/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/zip.h"

namespace gesso {
namespace {

Tensor Number(float value) {
  Tensor tensor(Shape{1}, DType::kF32);
  *tensor.MutableData<float>() = value;
  return tensor;
}

void ExpectRefused(const std::filesystem::path& path, std::vector<std::string> words,
                   ErrorKind kind = ErrorKind::kFormat) {
  words.push_back(path.string());
  ExpectError(kind, words, [&] { OpenWeights(path); });
}

TEST(OpenWeights, NamesAbsentTensorsAndFiles) {
  const TempFolder folder;
  WriteSafetensors(folder.path() / "x", {{"a", Number(1)}}, {});
  const Weights weights = OpenWeights(folder.path() / "x");
  EXPECT_EQ(*weights.At("a").Data<float>(), 1);
  ExpectError(ErrorKind::kFormat, {"/x", "no tensor 'b'"}, [&] { weights.At("b"); });
  ExpectRefused(folder.path() / "absent", {"No such file"}, ErrorKind::kIo);
  ExpectRefused(folder.Write("empty", ""), {"is empty"}, ErrorKind::kIo);
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  ExpectRefused(pipe, {"not a regular file"}, ErrorKind::kIo);
}

TEST(OpenWeights, TakesTheFirstOfHuggingFacesTwoFormats) {
  const TempFolder folder;
  WriteSafetensors(folder.path() / "pytorch_model.bin", {{"p", Number(1)}}, {});
  EXPECT_TRUE(OpenWeights(folder.path()).tensors.contains("p"));
  WriteSafetensors(folder.path() / "model.safetensors", {{"m", Number(1)}}, {});
  EXPECT_TRUE(OpenWeights(folder.path()).tensors.contains("m"));
  folder.Write("pytorch_model.bin.index.json", R"({"weight_map":{"p":"pytorch_model.bin"}})");
  EXPECT_TRUE(OpenWeights(folder.path()).tensors.contains("p"));
  folder.Write("model.safetensors.index.json", R"({"weight_map":{"m":"model.safetensors"}})");
  EXPECT_TRUE(OpenWeights(folder.path()).tensors.contains("m"));
}

// What of mapped files is in memory, in KiB.
int64_t MappedKibibytes() {
  std::ifstream status("/proc/self/status");
  std::string key;
  int64_t value = 0;
  while (status >> key) {
    if (key == "RssFile:" && status >> value) return value;
  }
  return -1;
}

TEST(Weights, ReleasedTensorsAreReadFromTheFileAgain) {
  const TempFolder folder;
  Tensor large({1 << 20}, DType::kF32);
  for (int64_t i = 0; i < large.shape().numel(); ++i) {
    large.MutableData<float>()[i] = static_cast<float>(i % 1000);
  }
  WriteSafetensors(folder.path() / "x", {{"a", large}, {"b", Number(5)}}, {});
  const Weights weights = OpenWeights(folder.path() / "x");
  const Tensor copy = Cast(weights.At("a"), DType::kF32);
  const int64_t before = MappedKibibytes();
  weights.Under("").Release(weights.At("a"));
  EXPECT_LT(MappedKibibytes(), before - 3000);
  weights.Release(copy);  // lies elsewhere: stays
  for (const Tensor* tensor : std::initializer_list<const Tensor*>{&weights.At("a"), &copy}) {
    EXPECT_TRUE(std::equal(tensor->Data<float>(), tensor->Data<float>() + tensor->shape().numel(),
                           large.Data<float>()));
  }
  EXPECT_EQ(*weights.At("b").Data<float>(), 5);
}

TEST(Weights, UnderAPrefixAreThoseThatBeginWithIt) {
  Weights weights;
  weights.path = "x.pth";
  for (const std::string name : {"a", "v", "vae.a", "vae.b.c", "vaf.a"}) {
    weights.tensors[name] = Number(static_cast<float>(name.size()));
  }
  const Weights part = weights.Under("vae.");
  EXPECT_EQ(part.path, weights.path);
  ASSERT_EQ(part.tensors.size(), 2u);
  EXPECT_EQ(*part.At("a").Data<float>(), 5);
  EXPECT_EQ(*part.At("b.c").Data<float>(), 7);
  EXPECT_TRUE(weights.Under("w").tensors.empty());
}

TEST(OpenWeights, ReadsEveryParityCase) {
  const std::filesystem::path folder = GESSO_PARITY_DIR;
  if (folder.empty()) GTEST_SKIP() << "no folder of parity cases (GESSO_PARITY_DIR)";
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".safetensors") continue;
    EXPECT_FALSE(OpenWeights(file.path()).tensors.empty());
    ++count;
  }
  EXPECT_GT(count, 0);
}

TEST(OpenWeights, TakesTheOnlyCheckpointOfAFolder) {
  const TempFolder folder;
  ExpectRefused(folder.path(), {"holds no checkpoint"});
  folder.Write("config.json", "{}");
  WriteSafetensors(folder.path() / "a.safetensors", {{"a", Number(1)}}, {});
  std::filesystem::create_directory(folder.path() / "b.safetensors");  // no file
  EXPECT_TRUE(OpenWeights(folder.path()).tensors.contains("a"));
  WriteSafetensors(folder.path() / "b.pth", {{"b", Number(1)}}, {});
  ExpectRefused(folder.path(), {"several checkpoints (a.safetensors, b.pth)"});
  WriteSafetensors(folder.path() / "pytorch_model.bin", {{"p", Number(1)}}, {});
  ExpectRefused(folder.path(), {"several checkpoints (a.safetensors, b.pth, pytorch_model.bin)"});
  folder.Write("x.safetensors.index.json", R"({"weight_map":{"b":"b.pth"}})");
  EXPECT_TRUE(OpenWeights(folder.path()).tensors.contains("b"));
}

TEST(OpenWeights, JoinsShards) {
  const TempFolder folder;
  WriteSafetensors(folder.path() / "1.safetensors", {{"a", Number(1)}}, {{"format", "pt"}});
  std::filesystem::create_directory(folder.path() / "deeper");
  WriteSafetensors(folder.path() / "deeper/2", {{"b", Number(2)}, {"c", Number(3)}}, {});
  const auto index = folder.Write("index.json", R"( {"metadata":{"total_size":12},"weight_map":
    {"a":"1.safetensors","b":"deeper/2","c":"deeper/2"}})");
  const Weights weights = OpenWeights(index);
  EXPECT_EQ(weights.path, index);
  EXPECT_EQ(*weights.At("a").Data<float>(), 1);
  EXPECT_EQ(*weights.At("c").Data<float>(), 3);
  EXPECT_EQ(weights.metadata.at("format"), "pt");
}

TEST(OpenWeights, RefusesAnIndexThatDoesNotHold) {
  const TempFolder folder;
  WriteSafetensors(folder.path() / "1", {{"a", Number(1)}}, {});
  WriteSafetensors(folder.path() / "2", {{"a", Number(2)}, {"b", Number(2)}}, {});
  const auto refused = [&](const std::string& index, const std::string& words,
                           ErrorKind kind = ErrorKind::kFormat) {
    ExpectRefused(folder.Write("index.json", index), {words}, kind);
  };
  refused(R"({"weight_map":{"a":"1","x":"3"}})", "shard 3 is missing", ErrorKind::kIo);
  refused(R"({"weight_map":{"b":"1"}})", "tensor 'b' is not in 1");
  refused(R"({"weight_map":{"a":"1","b":"2"}})", "tensor 'a' is in 2 and in another shard");
  refused(R"({"weight_map":{"a":"1","a":"2"}})", "duplicate key 'a'");
  refused(R"({"weight_map":{}})", "is empty");
  refused(R"({"weight_map":[]})", "without a 'weight_map'");
  refused(R"({"error":"not found"})", "without a 'weight_map'");
  refused(R"({"weight_map":{"a":1}})", "the file of 'a' is not a text");
  refused(R"({"weight_map":)", "not valid JSON");
  for (const char* path : {"../1", "/etc/passwd", "x/../../1", "", "..", "1/", "1\\u0000"}) {
    refused(std::string(R"({"weight_map":{"a":")") + path + "\"}}", "not a file beside the index");
  }
  folder.Write("2", "version https://git-lfs.github.com/spec/v1\n");
  refused(R"({"weight_map":{"b":"2"}})", "git lfs pull");
  refused(R"({"weight_map":{"b":"index.json"}})", "not a checkpoint");  // no index in an index
}

TEST(OpenWeights, SaysWhatElseAFileIs) {
  const TempFolder folder;
  const auto refused = [&](const std::string& content, const std::string& words) {
    ExpectRefused(folder.Write("model.safetensors", content), {words});
  };
  refused("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull");
  refused("\n <!DOCTYPE HTML><html>", "a web page");
  refused("\xef\xbb\xbf<html lang=en>", "a web page");
  refused("<?xml version='1.0'?><Error/>", "a web page");
  refused(std::string(20, '\0'), "filled with zeros");
  refused("GGUF\3", "GGUF");
  refused("\x80\x04}.", "bare Python pickle");
  refused("\x89PNG\r\n", "PNG picture");
  refused("\x1f\x8b", "gzip");
  refused("hello", "not a checkpoint");
  std::string tar(300, 'x');
  refused(tar.replace(257, 5, "ustar"), "tar archive");
  refused(MakeZip({{"x/data.pkl", "N."}}).substr(0, 50), "truncated download");
  ExpectRefused(std::filesystem::path(GESSO_SOURCE_DIR) / "tests/data/torch/legacy.pth",
                {"before 1.6"});
}

TEST(OpenWeights, ReadsTorchFiles) {
  const auto path = std::filesystem::path(GESSO_SOURCE_DIR) / "tests/data/torch/training.pth";
  EXPECT_TRUE(OpenWeights(path).tensors.contains("model_ema.layer.weight"));
}

}  // namespace
}  // namespace gesso
