#include "pipelines/verify/case.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace gesso {

namespace {

constexpr double kBFloat16Tolerance = 3e-2;
constexpr std::string_view kWeightsPrefix = "weights/";

const std::string& MetadataField(const Weights& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  Require(found != file.metadata.end(), ErrorKind::kFormat,
          "{}: is no parity case (its metadata has no '{}')", file.path.string(), key);
  return found->second;
}

double ParseTolerance(const Weights& file) {
  const std::string& text = MetadataField(file, "tolerance");
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  Require(whole && std::isfinite(value) && value > 0, ErrorKind::kFormat,
          "{}: tolerance '{}' is not a positive number", file.path.string(), text);
  return value;
}

double RelativeRms(ConstView ours, ConstView reference) {
  const Tensor a = Cast(ours, DType::kF64);
  const Tensor b = Cast(reference, DType::kF64);
  double difference = 0;
  double norm = 0;
  for (int64_t i = 0; i < reference.numel(); ++i) {
    const double d = a.Data<double>()[i] - b.Data<double>()[i];
    difference += d * d;
    norm += b.Data<double>()[i] * b.Data<double>()[i];
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

double ShareThatDiffers(ConstView ours, ConstView reference) {
  const Tensor a = Cast(ours, DType::kI64);
  const Tensor b = Cast(reference, DType::kI64);
  int64_t differing = 0;
  for (int64_t i = 0; i < reference.numel(); ++i) {
    differing += a.Data<int64_t>()[i] != b.Data<int64_t>()[i] ? 1 : 0;
  }
  return static_cast<double>(differing) /
         static_cast<double>(std::max<int64_t>(a.view().numel(), 1));
}

}  // namespace

ParityCase::ParityCase(Weights file, const VerifyOptions& options)
    : file_(std::move(file)), options_(options) {
  Require(options.dtype == DType::kF32 || options.dtype == DType::kBF16, ErrorKind::kUsage,
          "verify computes in float32 or bfloat16, not in {}", NameOf(options.dtype));
  system_ = MetadataField(file_, "system");
  config_ = ParseJson(MetadataField(file_, "config"), file_.path.string() + " (config)");
  Require(config_.is_object(), ErrorKind::kFormat, "{}: config is not a JSON object",
          file_.path.string());
  tolerance_ = ParseTolerance(file_);
  if (options.dtype == DType::kBF16) tolerance_ = std::max(tolerance_, kBFloat16Tolerance);
}

Weights ParityCase::ModelWeights() const { return file_.Under(kWeightsPrefix); }

bool ParityCase::Has(const std::string& name) const { return file_.tensors.contains(name); }

const Tensor& ParityCase::At(const std::string& name) const { return file_.At(name); }

void ParityCase::Compare(const std::string& name, ConstView ours) {
  const Tensor& reference = At(name);
  Require(ours.shape == reference.shape(), ErrorKind::kShape, "{}: expected {}, got {}", name,
          reference.shape().ToString(), ours.shape.ToString());
  Require(IsFloating(ours.dtype) == IsFloating(reference.dtype()), ErrorKind::kShape,
          "{}: expected {}, got {}", name, NameOf(reference.dtype()), NameOf(ours.dtype));
  Comparison comparison{.name = name};
  if (IsFloating(reference.dtype())) {
    comparison.error = RelativeRms(ours, reference);
    comparison.tolerance = tolerance_;
  } else {
    comparison.error = ShareThatDiffers(ours, reference);
  }
  comparisons_.push_back(comparison);
}

const Tensor& ParityCase::TakeChoice(const std::string& name) {
  CHECK(TakesChoices());
  choices_taken_.insert(name);
  return At(name);
}

void ParityTap::Record(std::string_view name, ConstView value) {
  const std::string reference = "mid/" + std::string(name);
  if (case_.Has(reference)) case_.Compare(reference, value);
}

std::vector<std::string> ParityCase::OutputsNotCompared() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file_.tensors) {
    const auto is_this = [&name = name](const Comparison& done) { return done.name == name; };
    if (name.starts_with("out/") && !choices_taken_.contains(name) &&
        std::ranges::none_of(comparisons_, is_this)) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace gesso
