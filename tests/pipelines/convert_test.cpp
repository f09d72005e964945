// Models in few bits end to end: what convert writes runs, near to what it was.
#include "pipelines/convert.h"

#include <gtest/gtest.h>

#include <fstream>

#include "models/bidim/model.h"
#include "models/dim/session.h"
#include "models/io/low_bit.h"
#include "models/io/safetensors.h"
#include "pipelines/calibrate.h"
#include "pipelines/diffusion_model.h"
#include "tests/support/files.h"
#include "tests/support/ops.h"
#include "tests/support/random_weights.h"

namespace gesso {
namespace {

namespace fs = std::filesystem;
using testing_support::RandomTensor;
using testing_support::RandomWeights;
using testing_support::RmsError;

const fs::path kData = fs::path(GESSO_SOURCE_DIR) / "tests" / "data";

// A checkpoint of the small DiM of a parity case, its config in the metadata.
fs::path WriteDim(const TempFolder& folder) {
  const Weights file = OpenWeights(kData / "dim_sample.cfg.safetensors");
  const Json config = ParseJson(file.metadata.at("config"), "config");
  const fs::path path = folder.path() / "dim.safetensors";
  WriteSafetensors(path, file.Under("weights/").tensors, {{"config", config.at("nnet").dump()}});
  return path;
}

Tensor RunDim(const fs::path& path, DType dtype = DType::kF32) {
  const Weights weights = OpenWeights(path);
  const auto model =
      dim::Load(weights, ParseJson(weights.metadata.at("config"), "config"), Device::kCpu, dtype);
  const Tensor x = RandomTensor({2, 4, 8, 8}, 3);
  dim::Session session(model, x.shape());
  Tensor classes({2}, DType::kI32);
  classes.MutableData<int32_t>()[1] = 5;
  Tensor out(x.shape(), DType::kF32);
  Arena arena(Device::kCpu, session.ArenaBytes());
  Context ctx{.arena = &arena};
  session.Forward(ctx, x, std::vector<double>{800, 150}, classes, out.mutable_view());
  return out;
}

TEST(Convert, DimRunsNearWhatItWas) {
  const TempFolder folder;
  const fs::path original = WriteDim(folder);
  const Tensor want = RunDim(original);
  // Random weights let errors grow; fixed scales are coarser than one a row.
  const std::tuple<LowBit, int64_t, double> cases[] = {
      {LowBit::kQ8, 0, 0.05},  {LowBit::kQ4, 0, 0.6},   {LowBit::kW8A8, 0, 0.08},
      {LowBit::kW8A8, 2, 0.3}, {LowBit::kW4A8, 2, 0.6}, {LowBit::kF8, 0, 0.15},
      {LowBit::kF8A8, 0, 0.3}};
  for (const auto& [type, calibrate, bound] : cases) {
    SCOPED_TRACE(NameOf(type));
    const fs::path converted = folder.path() / "converted.safetensors";
    const ConvertReport report = ConvertModel(
        original, converted, {.type = type, .calibrate = calibrate, .overwrite = true});
    EXPECT_GT(report.matrices, 10);
    EXPECT_LT(report.ShareOfBF16(), 0.57);  // rows of 32 inputs, each with a scale
    EXPECT_GT(report.Error(), 1e-3);
    const double error = RmsError(RunDim(converted), want);
    EXPECT_LT(error, bound);
    EXPECT_GT(error, 1e-4) << "few bits are few";
    EXPECT_LT(RmsError(RunDim(converted, DType::kBF16), want), bound + 0.05);
    const Weights weights = OpenWeights(converted);
    EXPECT_EQ(weights.metadata.at("low_bit"), NameOf(type));
    const std::string last = "transformer_blocks.0.attn1.out_proj.weight";
    EXPECT_EQ(weights.tensors.contains(last + ".hadamard"), IsIntegerProduct(type));
    EXPECT_EQ(weights.tensors.contains(last + ".input_scale"), calibrate > 0);
    EXPECT_FALSE(weights.tensors.contains("label_emb.weight.scale"));
  }
}

TEST(Calibrate, FindsScalesOfMambaProductsAlone) {
  const TempFolder folder;
  const Weights weights = OpenWeights(WriteDim(folder));
  const Json config = ParseJson(weights.metadata.at("config"), "config");
  const auto scales = Calibrate(weights, config, 1, 7);
  EXPECT_EQ(scales.size(), 5U * 4);
  for (const auto& [name, scale] : scales) {
    EXPECT_TRUE(IsMambaProduct(weights, name)) << name;
    EXPECT_GT(scale, 1e-5) << name;
    EXPECT_LT(scale, 1) << name;
  }
  EXPECT_EQ(Calibrate(weights, config, 1, 7), scales) << "the same seed, the same scales";
  EXPECT_NE(Calibrate(weights, config, 1, 8), scales);
}

// A bidirectional network of pictures with classes, as a bare checkpoint.
fs::path WriteBidim(const TempFolder& folder) {
  const Json config = {{"hidden_size", 64},
                       {"depth", 2},
                       {"in_channels", 3},
                       {"num_classes", 3},
                       {"d_state", 8},
                       {"d_conv", 4},
                       {"expand", 2},
                       {"dt_rank", 32},
                       {"learn_sigma", false},
                       {"patch_size", {1, 2, 2}},
                       {"input_size", {1, 8, 8}},
                       {"scan_orders", {"spatial_first"}},
                       {"sigma_data", 0.5},
                       {"sigma_min", 0.01},
                       {"sigma_max", 80}};
  bidim::Model model(bidim::ParseConfig(config));
  const fs::path path = folder.path() / "bidim.safetensors";
  WriteSafetensors(path, RandomWeights(model, 5).tensors, {{"config", config.dump()}});
  return path;
}

TEST(Calibrate, ServesBidirectionalNetworksWithClasses) {
  const TempFolder folder;
  const fs::path original = WriteBidim(folder);
  const fs::path converted = folder.path() / "few.safetensors";
  ConvertModel(original, converted, {.type = LowBit::kW8A8, .calibrate = 2, .seed = 7});
  const Weights weights = OpenWeights(converted);
  for (const char* product :
       {"in_proj", "x_proj", "x_proj_b", "dt_proj", "dt_proj_b", "out_proj"}) {
    for (const int block : {0, 1}) {
      const std::string name = fmt::format("blocks.{}.mixer.{}.weight", block, product);
      ASSERT_TRUE(weights.tensors.contains(name + ".input_scale")) << name;
      const float scale = *weights.At(name + ".input_scale").Data<float>();
      EXPECT_GT(scale, 1e-6) << name;
      EXPECT_LT(scale, 10) << name;
    }
  }
  EXPECT_FALSE(weights.tensors.contains("blocks.0.adaLN_modulation.1.weight.input_scale"));
  const auto forward = [&](const fs::path& path) {
    const DiffusionModel model = LoadDiffusionModel(path, Device::kCpu, DType::kF32);
    const Tensor x = RandomTensor({1, 3, 8, 8}, 3);
    const auto session = model.network->MakeSession(x.shape());
    Arena arena(Device::kCpu, size_t{64} << 20);
    Context ctx{.arena = &arena};
    Conditions conditions;
    conditions.class_cond = Tensor({1}, DType::kI32);
    conditions.class_cond.MutableData<int32_t>()[0] = 1;
    session->Condition(ctx, conditions);
    Tensor out(x.shape(), DType::kF32);
    session->Forward(ctx, x, std::vector<double>{2}, out.mutable_view());
    return out;
  };
  const double error = RmsError(forward(converted), forward(original));
  EXPECT_LT(error, 0.1);
  EXPECT_GT(error, 1e-4);
  ExpectError(ErrorKind::kUnsupported, {"only networks that are conditioned on classes"}, [&] {
    Calibrate(OpenWeights(kData / "models" / "tiny-video" / "denoiser" / "model.safetensors"),
              ReadJson(kData / "models" / "tiny-video" / "denoiser" / "config.json"), 1, 0);
  });
}

TEST(Convert, FoldersKeepWhatIsNoWeight) {
  const TempFolder folder;
  const fs::path from = kData / "models" / "tiny-hdit";
  const fs::path to = folder.path() / "tiny-q8";
  fs::create_directory(folder.path() / "tiny-q8.part");  // of somebody else
  ConvertModel(from, to, {.type = LowBit::kQ8});
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path copy = to / fs::relative(entry.path(), from);
    ASSERT_TRUE(fs::exists(copy)) << copy;
    if (!entry.is_regular_file() || entry.path().extension() == ".safetensors") continue;
    EXPECT_EQ(fs::file_size(copy), fs::file_size(entry.path())) << copy;
  }
  EXPECT_NO_THROW(LoadDiffusionModel(to, Device::kCpu, DType::kF32));
  EXPECT_TRUE(fs::is_empty(folder.path() / "tiny-q8.part"));
  ExpectError(ErrorKind::kOutput, {"exists already"},
              [&] { ConvertModel(from, to, {.type = LowBit::kQ8}); });
}

TEST(Convert, RefusesWhatMakesNoSense) {
  const TempFolder folder;
  const fs::path original = WriteDim(folder);
  const fs::path out = folder.path() / "out.safetensors";
  ExpectError(ErrorKind::kUsage, {"--calibrate", "q8"},
              [&] { ConvertModel(original, out, {.type = LowBit::kQ8, .calibrate = 1}); });
  ExpectError(ErrorKind::kUsage, {"--calibrate", "f8a8"},
              [&] { ConvertModel(original, out, {.type = LowBit::kF8A8, .calibrate = 1}); });
  ConvertModel(original, out, {.type = LowBit::kQ8});
  ExpectError(ErrorKind::kUsage, {"out.safetensors", "in few bits already"}, [&] {
    ConvertModel(out, folder.path() / "twice.safetensors", {.type = LowBit::kQ4});
  });
  ExpectError(ErrorKind::kOutput, {"out.safetensors"},
              [&] { ConvertModel(original, out, {.type = LowBit::kQ4}); });
  Tensor number({1}, DType::kF32);
  WriteSafetensors(folder.path() / "none.safetensors", {{"a", number}}, {});
  ExpectError(ErrorKind::kFormat, {"none.safetensors", "no weights"},
              [&] { ConvertModel(folder.path() / "none.safetensors", folder.path() / "x", {}); });
  ExpectError(ErrorKind::kUnsupported, {"only Diffusion Mambas"}, [&] {
    ConvertModel(kData / "models" / "tiny-hdit", folder.path() / "new" / "y/",
                 {.type = LowBit::kW8A8, .calibrate = 1});
  });
  EXPECT_TRUE(fs::is_empty(folder.path() / "new"));
}

}  // namespace
}  // namespace gesso
