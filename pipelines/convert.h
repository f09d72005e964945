// Models in few bits: every product's weights of a checkpoint or of a model folder are rounded
// (kernels/low_bit.h, docs/low_bit.md); everything else stays as it is.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "kernels/low_bit.h"
#include "models/io/weights.h"

namespace gesso {

struct ConvertOptions {
  LowBit type = LowBit::kQ8;
  // Pictures that a model with Mamba blocks makes to find the range of what they multiply, which
  // fixes the scales of their inputs; 0: every row of inputs has a scale of its own. Integer
  // products only.
  int64_t calibrate = 0;
  uint64_t seed = 0;  // of these pictures
  bool overwrite = false;
};

// What came of it, over all files of a folder.
struct ConvertReport {
  int64_t matrices = 0;      // that were rounded
  int64_t weights = 0;       // numbers in them
  int64_t bytes = 0;         // they take now
  double squared_error = 0;  // sum over them
  double square = 0;         // sum of their squares before

  double Error() const;        // RMS(rounded - before) / RMS(before)
  double ShareOfBF16() const;  // bytes / what they take in bfloat16
};

// Whether tensor `name` of a checkpoint is the weight of a product that pays to round: a matrix of
// some size called "...weight" that is no embedding.
bool IsProductWeight(const std::string& name, const Tensor& tensor);

// The tensors of `weights` with products in few bits. Scales of inputs by the product's name, as
// Calibrate gives them. Mamba's output projection is rotated where the products are of integers.
std::map<std::string, Tensor> RoundWeights(const Weights& weights, LowBit type,
                                           const std::map<std::string, float>& input_scales,
                                           ConvertReport& report);

// Converts the weights file or the model folder `from` to `to`, which appears whole or not at all.
// Throws kUsage for calibration that the type or the model has no use for, kFormat for a model
// without weights to round, kOutput.
ConvertReport ConvertModel(const std::filesystem::path& from, const std::filesystem::path& to,
                           const ConvertOptions& options);

}  // namespace gesso
