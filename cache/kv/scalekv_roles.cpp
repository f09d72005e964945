#include "cache/kv/scalekv_roles.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace gesso::cache {

namespace {

// Keeps a scale whose layers all agree from being divided by zero.
constexpr double kEps = 1e-8;

double TopSum(std::vector<double>& values, int64_t top_k) {
  const auto cut = values.begin() + std::min(top_k, static_cast<int64_t>(values.size()));
  std::partial_sort(values.begin(), cut, values.end(), std::greater<>());
  return std::accumulate(values.begin(), cut, 0.0);
}

// The z-scores of column `scale` of selectivity [layers, scales], deviation of the population.
void Standardise(std::span<const double> selectivity, size_t scale, size_t scales,
                 std::vector<double>& z) {
  const double layers = static_cast<double>(selectivity.size() / scales);
  double mean = 0;
  for (size_t i = scale; i < selectivity.size(); i += scales) mean += selectivity[i] / layers;
  double variance = 0;
  for (size_t i = scale; i < selectivity.size(); i += scales) {
    variance += (selectivity[i] - mean) * (selectivity[i] - mean) / layers;
  }
  for (size_t i = scale; i < selectivity.size(); i += scales) {
    z[i] = (selectivity[i] - mean) / (std::sqrt(variance) + kEps);
  }
}

}  // namespace

double AttentionSelectivity(ConstView attention, int64_t top_k) {
  Require(attention.shape.rank() == 3 && attention.shape[2] > attention.shape[1] && top_k >= 1,
          ErrorKind::kShape, "attention {} has no history, or top_k {} is not positive",
          attention.shape, top_k);
  const int64_t rows = attention.shape[0] * attention.shape[1];
  const int64_t keys = attention.shape[2];
  const int64_t history = keys - attention.shape[1];
  const auto* values = attention.Data<float>();
  Require(std::all_of(values, values + rows * keys, [](float x) { return std::isfinite(x); }),
          ErrorKind::kFormat, "attention {} is not finite", attention.shape);
  double on_current = 0;
  double on_history = 0;
  std::vector<double> earlier;
  for (int64_t row = 0; row < rows; ++row, values += keys) {
    on_current += std::accumulate(values + history, values + keys, 0.0);
    earlier.assign(values, values + history);
    on_history += TopSum(earlier, top_k);
  }
  const auto count = static_cast<double>(rows);
  return on_current / count * (on_history / count);
}

ScaleKvRoles FindScaleKvRoles(std::span<const double> selectivity, int64_t layers,
                              const ScaleKvRoleOptions& options) {
  const auto pairs = static_cast<int64_t>(selectivity.size());
  Require(layers >= 1 && pairs >= 1 && pairs % layers == 0, ErrorKind::kUsage,
          "{} selectivity indices are not those of {} layers", pairs, layers);
  Require(options.num_drafters >= 0 && options.num_drafters <= pairs, ErrorKind::kUsage,
          "num_drafters is {}, must be from 0 to {}", options.num_drafters, pairs);
  const size_t scales = selectivity.size() / static_cast<size_t>(layers);
  ScaleKvRoles roles = {.z = std::vector<double>(selectivity.size()),
                        .is_drafter = std::vector<uint8_t>(selectivity.size(), 0),
                        .refiner_budget = std::vector<double>(scales),
                        .drafter_budget = std::vector<double>(scales, 0.0)};
  for (size_t scale = 0; scale < scales; ++scale) {
    Standardise(selectivity, scale, scales, roles.z);
  }
  std::vector<size_t> order(selectivity.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](size_t pair) { return roles.z[pair]; });
  for (int64_t i = 0; i < options.num_drafters; ++i) {
    roles.is_drafter[order[static_cast<size_t>(i)]] = 1;
  }
  for (size_t scale = 0; scale < scales; ++scale) {
    int64_t drafters = 0;
    for (size_t i = scale; i < roles.is_drafter.size(); i += scales)
      drafters += roles.is_drafter[i];
    const double least =
        options.refiner_budget0 - options.refiner_decay * static_cast<double>(scale + 1);
    roles.refiner_budget[scale] = least;
    if (drafters == 0) continue;
    const double rest = options.uniform_budget * static_cast<double>(layers) -
                        least * static_cast<double>(layers - drafters);
    roles.drafter_budget[scale] = rest / static_cast<double>(drafters);
  }
  return roles;
}

}  // namespace gesso::cache
