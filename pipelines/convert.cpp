#include "pipelines/convert.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "models/io/json.h"
#include "models/io/low_bit.h"
#include "models/io/output_file.h"
#include "models/io/safetensors.h"
#include "pipelines/calibrate.h"
#include "pipelines/model_files.h"

namespace gesso {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMinWeights = 1024;  // smaller matrices save nothing worth an error
constexpr int64_t kMinInputs = 32;

void AddError(ConstView before, const LowBitMatrix& matrix, ConvertReport& report) {
  const Tensor exact = Cast(before, DType::kF32);
  const Tensor rounded = matrix.Dequantize();
  for (int64_t i = 0; i < exact.view().numel(); ++i) {
    const double value = exact.Data<float>()[i];
    const double difference = static_cast<double>(rounded.Data<float>()[i]) - value;
    report.squared_error += difference * difference;
    report.square += value * value;
  }
}

bool IsWeightsFile(const fs::path& path) {
  static constexpr std::array<std::string_view, 5> kEndings = {".safetensors", ".pth", ".pt",
                                                               ".ckpt", ".bin"};
  return std::ranges::find(kEndings, path.extension().string()) != kEndings.end();
}

void RequireSome(const ConvertReport& report, const fs::path& from) {
  Require(report.matrices > 0, ErrorKind::kFormat, "{}: has no weights of products to round",
          from.string());
}

// `alone`: what is no file of a folder. A config beside it would stay behind, so that goes into the
// metadata.
void ConvertFile(const fs::path& from, const fs::path& to, const ConvertOptions& options,
                 bool alone, ConvertReport& report) {
  const Weights weights = OpenWeights(from);
  for (const auto& [name, tensor] : weights.tensors) {
    Require(!IsLowBit(weights, name), ErrorKind::kUsage,
            "{}: is in few bits already (tensor {}); convert the original", from.string(), name);
  }
  std::map<std::string, std::string> metadata = weights.metadata;
  const std::optional<NamedConfig> config = FindConfig(weights);
  std::map<std::string, float> scales;
  if (options.calibrate > 0) {
    Require(config.has_value(), ErrorKind::kConfig,
            "{}: has no model config, which --calibrate needs", from.string());
    scales = Calibrate(weights, config->json, options.calibrate, options.seed);
  }
  metadata["low_bit"] = NameOf(options.type);
  if (alone && config.has_value()) metadata.try_emplace("config", config->json.dump());
  const auto tensors = RoundWeights(weights, options.type, scales, report);
  if (alone) RequireSome(report, from);
  WriteSafetensors(to, tensors, metadata);
}

// Files of shards, which become one file under the index's name.
std::set<fs::path> ShardsOf(const fs::path& index) {
  std::set<fs::path> shards;
  const Json json = ReadJson(index);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) return shards;
  for (const auto& [tensor, file] : map->items()) {
    if (file.is_string()) shards.insert(index.parent_path() / file.get<std::string>());
  }
  return shards;
}

void ConvertFolder(const fs::path& from, const fs::path& to, const ConvertOptions& options,
                   ConvertReport& report) {
  std::set<fs::path> shards;
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (entry.path().string().ends_with(".safetensors.index.json")) {
      shards.merge(ShardsOf(entry.path()));
    }
  }
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path target = to / fs::relative(entry.path(), from);
    if (entry.is_directory()) {
      fs::create_directories(target);
    } else if (entry.path().string().ends_with(".safetensors.index.json")) {
      ConvertFile(entry.path(), fs::path(target).replace_extension().replace_extension(), options,
                  false, report);
    } else if (IsWeightsFile(entry.path())) {
      if (!shards.contains(entry.path())) ConvertFile(entry.path(), target, options, false, report);
    } else {
      fs::copy_file(entry.path(), target);
    }
  }
}

}  // namespace

double ConvertReport::Error() const { return square > 0 ? std::sqrt(squared_error / square) : 0; }

double ConvertReport::ShareOfBF16() const {
  return static_cast<double>(bytes) / (2 * static_cast<double>(weights));
}

bool IsProductWeight(const std::string& name, const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  const bool is_exact = IsFloating(tensor.dtype()) && tensor.dtype() != DType::kF8E4M3;
  const bool is_matrix =
      shape.rank() == 2 && is_exact && shape[1] >= kMinInputs && shape.numel() >= kMinWeights;
  // T5 calls its embedding "shared" and a table of biases "relative_attention_bias".
  static constexpr std::array<std::string_view, 3> kTables = {"emb", "shared.weight",
                                                              "relative_attention_bias"};
  const auto is_part = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  return is_matrix && name.ends_with("weight") && std::ranges::none_of(kTables, is_part);
}

std::map<std::string, Tensor> RoundWeights(const Weights& weights, LowBit type,
                                           const std::map<std::string, float>& input_scales,
                                           ConvertReport& report) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, tensor] : weights.tensors) {
    if (!IsProductWeight(name, tensor)) {
      tensors[name] = tensor;
      continue;
    }
    const bool rotated = IsIntegerProduct(type) && IsMambaOutput(weights, name);
    const int64_t hadamard = rotated ? HadamardSize(tensor.shape()[1]) : 1;
    LowBitMatrix matrix = Quantize(tensor, type, hadamard);
    const auto scale = input_scales.find(name);
    if (scale != input_scales.end()) matrix.input_scale = scale->second;
    PutLowBit(tensors, name, matrix);
    ++report.matrices;
    report.weights += tensor.view().numel();
    report.bytes += static_cast<int64_t>(matrix.bytes());
    AddError(tensor, matrix, report);
  }
  return tensors;
}

ConvertReport ConvertModel(const fs::path& from, const fs::path& to,
                           const ConvertOptions& options) {
  Require(
      options.calibrate == 0 || IsIntegerProduct(options.type), ErrorKind::kUsage,
      "--calibrate: the inputs of {} products have no fixed scales, so there is nothing to find",
      NameOf(options.type));
  std::error_code error;
  ConvertReport report;
  if (!fs::is_directory(from, error)) {
    CheckOutput(to, options.overwrite);
    ConvertFile(from, to, options, true, report);
    return report;
  }
  Require(!fs::exists(to, error), ErrorKind::kOutput,
          "{}: exists already; a folder is not overwritten", to.string());
  const fs::path name = WithoutSlash(to);
  if (name.has_parent_path()) {
    fs::create_directories(name.parent_path(), error);
    Require(!error, ErrorKind::kOutput, "{}: cannot be made ({})", name.parent_path().string(),
            error.message());
  }
  const fs::path part = MakePartFolder(name);
  try {
    ConvertFolder(from, part, options, report);
    RequireSome(report, from);
    fs::rename(part, name);
  } catch (const fs::filesystem_error& failure) {
    fs::remove_all(part, error);
    Fail(ErrorKind::kOutput, "{}: {}", to.string(), failure.what());
  } catch (...) {
    fs::remove_all(part, error);
    throw;
  }
  return report;
}

}  // namespace gesso
