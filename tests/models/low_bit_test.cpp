// Checkpoints in few bits: what loads from them, and what is refused.
#include "models/io/low_bit.h"

#include "kernels/core/float8.h"
#include "models/io/safetensors.h"
#include "models/nn/linear.h"
#include "models/nn/load.h"
#include "tests/support/files.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::RandomTensor;
using testing_support::RmsError;

constexpr int64_t kInputs = 200;  // no multiple of a group

// A layer, two that are multiplied as one, and a table that is looked up.
struct Net {
  nn::Linear layer{24, kInputs, nn::Precision::kModel, nn::Bias::kLearned};
  nn::Linear full{8, kInputs, nn::Precision::kFull};
  nn::GatedLinear gated{16, kInputs, Activation::kSilu};
  Tensor table;

  void Visit(nn::ParameterVisitor& visitor, const std::string& prefix) {
    layer.Visit(visitor, prefix + "layer.");
    full.Visit(visitor, prefix + "full.");
    gated.VisitHalves(visitor, prefix + "value.weight", prefix + "gate.weight");
    visitor.Plain(prefix + "table.weight", {6, kInputs}, nn::Role::kParameter, table);
  }
};

const std::vector<std::string> kMatrices = {"layer.weight", "full.weight", "value.weight",
                                            "gate.weight", "table.weight"};

Weights FloatWeights() {
  Weights weights;
  weights.path = "net.safetensors";
  const int64_t rows[] = {24, 8, 16, 16, 6};
  for (size_t i = 0; i < kMatrices.size(); ++i) {
    weights.tensors[kMatrices[i]] =
        RandomTensor({rows[i], kInputs}, static_cast<uint32_t>(i) + 1, DType::kF32, 0.07F);
  }
  weights.tensors["layer.bias"] = RandomTensor({24}, 9);
  return weights;
}

// The same in few bits, and what the codes stand for.
struct Rounded {
  Weights codes;
  Weights floats;
};

Rounded Round(const Weights& weights, const std::function<LowBit(const std::string&)>& type_of) {
  Rounded rounded{weights, weights};
  for (const std::string& name : kMatrices) {
    const LowBitMatrix matrix = Quantize(weights.At(name), type_of(name));
    PutLowBit(rounded.codes.tensors, name, matrix);
    rounded.floats.tensors[name] = matrix.Dequantize();
  }
  return rounded;
}

struct Outputs {
  Tensor layer{{5, 24}, DType::kF32};
  Tensor full{{5, 8}, DType::kF32};
  Tensor gated{{5, 16}, DType::kF32};
  Tensor table;
};

Outputs RunNet(const Weights& weights, DType dtype = DType::kF32) {
  Net net;
  nn::LoadWeights(net, weights, Device::kCpu, dtype);
  const Tensor x = RandomTensor({5, kInputs}, 20);
  Context ctx;
  Outputs out;
  net.layer.Forward(ctx, x, out.layer.mutable_view());
  net.full.Forward(ctx, x, out.full.mutable_view());
  net.gated.Forward(ctx, x, out.gated.mutable_view());
  out.table = net.table;
  return out;
}

class LowBitModels : public testing::TestWithParam<LowBit> {};
INSTANTIATE_TEST_SUITE_P(Types, LowBitModels, testing::ValuesIn(kLowBits),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

TEST_P(LowBitModels, LoadAsWhatTheirCodesStandFor) {
  const Rounded rounded = Round(FloatWeights(), [](const auto&) { return GetParam(); });
  const Outputs want = RunNet(rounded.floats);
  // Some round their inputs too.
  const double bound = GetParam() == LowBit::kF8A8    ? 4e-2
                       : IsIntegerProduct(GetParam()) ? 1.5e-2
                                                      : 1e-5;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Outputs got = RunNet(rounded.codes, dtype);
    const double wide = dtype == DType::kBF16 ? std::max(bound, 1.5e-2) : bound;
    EXPECT_LT(RmsError(got.layer, want.layer), wide);
    EXPECT_LT(RmsError(got.gated, want.gated), 2 * wide);
    EXPECT_LT(RmsError(got.full, want.full), 1e-5) << "float32 whatever the model's type";
    EXPECT_EQ(RmsError(got.table, want.table), 0);
  }
}

TEST_P(LowBitModels, SurviveAFile) {
  const Rounded rounded = Round(FloatWeights(), [](const auto&) { return GetParam(); });
  const TempFolder folder;
  const auto path = folder.path() / "net.safetensors";
  WriteSafetensors(path, rounded.codes.tensors, {});
  const Outputs want = RunNet(rounded.codes);
  const Outputs got = RunNet(OpenWeights(path));
  EXPECT_TRUE(testing_support::SameBits(got.layer, want.layer));
  EXPECT_TRUE(testing_support::SameBits(got.gated, want.gated));
}

TEST(LowBitFiles, MixKindsInOneProduct) {
  const Rounded rounded = Round(FloatWeights(), [](const std::string& name) {
    return name == "gate.weight" ? LowBit::kQ4 : LowBit::kQ8;
  });
  EXPECT_LT(RmsError(RunNet(rounded.codes).gated, RunNet(rounded.floats).gated), 1e-5);
}

TEST(LowBitFiles, KeepScalesOfInputsAndRotations) {
  Weights weights = FloatWeights();
  LowBitMatrix matrix = Quantize(weights.At("layer.weight"), LowBit::kW8A8, 8);
  matrix.input_scale = 0.03F;
  PutLowBit(weights.tensors, "layer.weight", matrix);
  const LowBitMatrix read = LowBitAt(weights, "layer.weight", kInputs);
  EXPECT_EQ(read.hadamard, 8);
  EXPECT_EQ(read.input_scale, 0.03F);
  EXPECT_LT(RmsError(RunNet(weights).layer, RunNet(FloatWeights()).layer), 2e-2);
}

// Matrices and a bias as others publish them: e4m3 numbers, of which `scale` tells what they are
// worth.
Weights Published(const std::function<void(Weights&, const std::string&, Tensor)>& put_scale) {
  Weights weights = FloatWeights();
  for (const std::string& name : kMatrices) {
    const Tensor floats = weights.At(name);
    Tensor codes(floats.shape(), DType::kF8E4M3);
    for (int64_t i = 0; i < floats.shape().numel(); ++i) {
      codes.MutableData<E4M3>()[i] = E4M3(floats.Data<float>()[i] * 64);
    }
    weights.tensors[name] = codes;
    put_scale(weights, name, floats);
  }
  Tensor bias({24}, DType::kF8E4M3);
  for (int64_t i = 0; i < 24; ++i) {
    bias.MutableData<E4M3>()[i] = E4M3(weights.At("layer.bias").Data<float>()[i]);
  }
  weights.tensors["layer.bias"] = bias;
  return weights;
}

// The same in float32, each number `scale` times its code.
Weights Widened(const Weights& published, float scale) {
  Weights weights = published;
  std::erase_if(weights.tensors, [&](const auto& item) {
    return item.first != "layer.bias" && std::ranges::count(kMatrices, item.first) == 0;
  });
  for (const std::string& name : kMatrices) {
    Tensor floats = Cast(published.At(name), DType::kF32);
    for (int64_t i = 0; i < floats.shape().numel(); ++i) floats.MutableData<float>()[i] *= scale;
    weights.tensors[name] = floats;
  }
  return weights;
}

Tensor Filled(const Shape& shape, float value) {
  Tensor tensor(shape, DType::kF32);
  std::fill_n(tensor.MutableData<float>(), shape.numel(), value);
  return tensor;
}

TEST(LowBitFiles, TakePublishedFloat8Weights) {
  const auto beside = [](const std::string& name, const char* part) {
    return name.substr(0, name.size() - 6) + part;
  };
  const std::pair<float, Weights> cases[] = {
      {1.0F, Published([](Weights&, const std::string&, const Tensor&) {})},
      {0.25F, Published([&](Weights& weights, const std::string& name, const Tensor&) {
         weights.tensors[beside(name, "scale_weight")] = Filled({1}, 0.25F);
         weights.tensors[beside(name, "scale_input")] = Filled({1}, 3);
         weights.tensors["scaled_fp8"] = Tensor({2}, DType::kF8E4M3);
       })},
      {0.1F, Published([&](Weights& weights, const std::string& name, const Tensor& floats) {
         const int64_t rows = floats.shape()[0];
         const Shape shape = name == "full.weight" ? Shape() : Shape({rows, 1});
         weights.tensors[beside(name, "weight_scale")] = Filled(shape, 0.1F);
         weights.tensors[beside(name, "input_scale")] = Filled(Shape(), 3);
         weights.tensors[beside(name, "comfy_quant")] = Tensor({27}, DType::kU8);
       })}};
  const TempFolder folder;
  for (const auto& [scale, weights] : cases) {
    SCOPED_TRACE(scale);
    const auto path = folder.path() / "published.safetensors";
    WriteSafetensors(path, weights.tensors, {});
    const Outputs got = RunNet(OpenWeights(path));
    const Outputs want = RunNet(Widened(weights, scale));
    EXPECT_LT(RmsError(got.layer, want.layer), 1e-5);
    EXPECT_LT(RmsError(got.full, want.full), 1e-5);
    EXPECT_LT(RmsError(got.gated, want.gated), 1e-5);
    EXPECT_EQ(RmsError(got.table, want.table), 0);
    EXPECT_LT(RmsError(RunNet(weights, DType::kBF16).layer, want.layer), 1.5e-2);
    EXPECT_EQ(LowBitAt(weights, "layer.weight", kInputs).type, LowBit::kF8);
  }
}

TEST(LowBitFiles, RefuseBrokenFloat8Weights) {
  const auto refuses = [](std::vector<std::string> words, const auto& change) {
    Weights weights = Published([](Weights&, const std::string&, const Tensor&) {});
    change(weights.tensors);
    words.emplace_back("net.safetensors");
    ExpectError(ErrorKind::kFormat, words, [&] { RunNet(weights); });
  };
  using Tensors = std::map<std::string, Tensor>;
  refuses({"layer.weight", "scale", "one number or 24", "[7]"},
          [](Tensors& t) { t["layer.weight_scale"] = Filled({7}, 1); });
  refuses({"layer.weight", "two scales", "layer.scale_weight", "layer.weight_scale"},
          [](Tensors& t) {
            t["layer.weight_scale"] = Filled({1}, 1);
            t["layer.scale_weight"] = Filled({1}, 1);
          });
  refuses({"layer.weight", "scale", "floating-point", "uint8"},
          [](Tensors& t) { t["layer.weight_scale"] = Tensor({24}, DType::kU8); });
  refuses({"layer.weight", "scale", "is nan"},
          [](Tensors& t) { t["layer.weight_scale"] = Filled({1}, std::nanf("")); });
  refuses({"layer.weight", "codes: hold NaN"}, [](Tensors& t) {
    t["layer.weight"] = Tensor({24, kInputs}, DType::kF8E4M3);
    t["layer.weight"].MutableData<E4M3>()[9] = E4M3(NAN);
  });
  refuses({"layer.bias", "NaN"}, [](Tensors& t) {
    t["layer.bias"] = Tensor({24}, DType::kF8E4M3);
    t["layer.bias"].MutableData<E4M3>()[9] = E4M3(NAN);
  });
  refuses({"layer.bias", "NaN or infinite"}, [](Tensors& t) {
    t["layer.bias"] = Tensor({24}, DType::kF8E5M2);
    *reinterpret_cast<uint8_t*>(t["layer.bias"].mutable_view().Bytes()) = 0x7c;
  });
  refuses({"unexpected", "layer.bias_scale"},
          [](Tensors& t) { t["layer.bias_scale"] = Filled({1}, 1); });
  // Of float32 weights there is no scale.
  refuses({"unexpected", "layer.weight_scale"}, [](Tensors& t) {
    t["layer.weight"] = Tensor({24, kInputs}, DType::kF32);
    t["layer.weight_scale"] = Filled({1}, 1);
  });
}

TEST(LowBitFiles, RefuseBrokenFiles) {
  const auto refuses = [](LowBit type, std::vector<std::string> words, const auto& change) {
    Weights weights = Round(FloatWeights(), [&](const auto&) { return type; }).codes;
    change(weights.tensors);
    words.emplace_back("net.safetensors");
    ExpectError(ErrorKind::kFormat, words, [&] { RunNet(weights); });
  };
  using Tensors = std::map<std::string, Tensor>;
  refuses(LowBit::kQ8, {"layer.weight", "codes with a layer.weight.scale"},
          [](Tensors& t) { t.erase("layer.weight.scale"); });
  refuses(LowBit::kQ8, {"layer.weight", "scale", "[24, 2]"}, [](Tensors& t) {
    t["layer.weight.scale"] = Tensor({24, 3}, DType::kF32);
  });
  refuses(LowBit::kQ8, {"layer.weight", "scale", "int32"}, [](Tensors& t) {
    t["layer.weight.scale"] = Tensor({24, 2}, DType::kI32);
  });
  refuses(LowBit::kQ8, {"wrong shape", "layer.weight", "[24, 200]"}, [](Tensors& t) {
    t["layer.weight"] = Tensor({24, 199}, DType::kI8);
  });
  refuses(LowBit::kQ4, {"wrong shape", "layer.weight", "[24, 100]"}, [](Tensors& t) {
    t["layer.weight"] = Tensor({24, 99}, DType::kU8);
  });
  refuses(LowBit::kQ8, {"layer.weight", "is nan"}, [](Tensors& t) {
    Tensor scale({24, 2}, DType::kF32);
    scale.MutableData<float>()[3] = std::nanf("");
    t["layer.weight.scale"] = scale;
  });
  refuses(LowBit::kW4A8, {"value.weight", "group_scale"},
          [](Tensors& t) { t.erase("value.weight.group_scale"); });
  refuses(LowBit::kW8A8, {"layer.weight", "input_scale", "not above 0"},
          [](Tensors& t) { t["layer.weight.input_scale"] = Tensor({1}, DType::kF32); });
  refuses(LowBit::kW8A8, {"layer.weight", "hadamard"}, [](Tensors& t) {
    t["layer.weight.hadamard"] = Tensor({1}, DType::kI32);
    t["layer.weight.hadamard"].MutableData<int32_t>()[0] = 16;
  });
  refuses(LowBit::kW8A8, {"layer.weight", "hadamard", "one number"},
          [](Tensors& t) { t["layer.weight.hadamard"] = Tensor({2}, DType::kI32); });
  refuses(LowBit::kQ8, {"unexpected", "stray.scale"},
          [](Tensors& t) { t["stray.scale"] = Tensor({1}, DType::kF32); });
}

}  // namespace
}  // namespace gesso
