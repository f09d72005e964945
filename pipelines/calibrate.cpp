#include "pipelines/calibrate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/core/rng.h"
#include "kernels/low_bit.h"
#include "pipelines/bidim_network.h"
#include "pipelines/dim_denoiser.h"
#include "samplers/registry.h"
#include "samplers/vp_process.h"

namespace gesso {

namespace {

constexpr double kQuantile = 0.9995;  // of what the scan reads
constexpr double kMomentum = 0.01;    // of its average over calls
constexpr int64_t kSteps = 20;
constexpr std::string_view kDimMark = "a4m_adapter.pad_token";

// The name up to the product's own: "blocks.0.mixer." of "blocks.0.mixer.x_proj.weight".
std::string BlockOf(const std::string& name, std::string_view product) {
  const std::string ending = std::string(product) + ".weight";
  return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : "";
}

}  // namespace

void RangeTap::Record(std::string_view name, ConstView value) {
  const std::string product(name);
  if (!weights_.tensors.contains(product) || !IsMambaProduct(weights_, product)) return;
  Tensor values = Cast(value, DType::kF32);
  float* const begin = values.MutableData<float>();
  const int64_t count = values.view().numel();
  if (IsMambaOutput(weights_, product)) Hadamard(begin, count, HadamardSize(value.shape[-1]));
  std::transform(begin, begin + count, begin, [](float v) { return std::abs(v); });
  if (product.ends_with("x_proj.weight") || product.ends_with("x_proj_b.weight")) {
    Average(product, begin, count);
  } else {
    float& largest = ranges_[product];
    largest = std::max(largest, *std::max_element(begin, begin + count));
  }
}

void RangeTap::Average(const std::string& product, float* values, int64_t count) {
  const auto place = static_cast<int64_t>(kQuantile * static_cast<double>(count - 1));
  std::nth_element(values, values + place, values + count);
  const auto [found, is_first] = ranges_.try_emplace(product, values[place]);
  if (!is_first) found->second += static_cast<float>(kMomentum) * (values[place] - found->second);
}

std::map<std::string, float> RangeTap::Scales() const {
  std::map<std::string, float> scales;
  for (const auto& [name, range] : ranges_) {
    if (range > 0) scales[name] = range / 127;
  }
  return scales;
}

bool IsMambaProduct(const Weights& weights, const std::string& name) {
  static constexpr std::array<std::string_view, 6> kProducts = {
      "in_proj", "x_proj", "dt_proj", "out_proj", "x_proj_b", "dt_proj_b"};
  return std::ranges::any_of(kProducts, [&](std::string_view product) {
    const std::string block = BlockOf(name, product);
    return !block.empty() && weights.tensors.contains(block + "A_log");
  });
}

bool IsMambaOutput(const Weights& weights, const std::string& name) {
  return name.ends_with("out_proj.weight") && IsMambaProduct(weights, name);
}

namespace {

// How a model makes pictures of one class each.
struct Process {
  Shape shape;  // of one picture
  std::vector<double> sigmas;
  double start;  // standard deviation of what sampling starts from
  std::string_view sampler;
  int64_t classes;  // none of them included
  std::function<std::unique_ptr<Denoiser>(Context& ctx, Tensor label)> denoiser;
};

std::map<std::string, float> Watch(const Weights& weights, const Process& process, int64_t pictures,
                                   uint64_t seed) {
  const Sampler sampler = MakeSampler(process.sampler);
  RangeTap tap(weights);
  Arena arena(Device::kCpu, size_t{2} << 30);  // pages that are never touched cost nothing
  Context ctx{.arena = &arena, .tap = &tap};
  for (int64_t i = 0; i < pictures; ++i) {
    const std::vector<uint64_t> seeds = {seed + static_cast<uint64_t>(i)};
    Tensor x(process.shape, DType::kF32);
    DrawStart(ctx, seeds, x.mutable_view());
    for (int64_t j = 0; j < process.shape.numel(); ++j) {
      x.MutableData<float>()[j] *= static_cast<float>(process.start);
    }
    Tensor label({1}, DType::kI32);
    label.MutableData<int32_t>()[0] =
        static_cast<int32_t>(seeds[0] % static_cast<uint64_t>(process.classes));
    const std::unique_ptr<Denoiser> denoiser = process.denoiser(ctx, std::move(label));
    sampler(ctx, {.denoiser = *denoiser,
                  .x = x.mutable_view(),
                  .sigmas = process.sigmas,
                  .noise = PhiloxNoise(seeds)});
  }
  return tap.Scales();
}

std::map<std::string, float> CalibrateDim(const Weights& weights, const Json& config,
                                          int64_t pictures, uint64_t seed) {
  const auto model = dim::Load(weights, config, Device::kCpu, DType::kF32);
  const int64_t side = model->config.side * model->config.patch;
  const Shape shape = {1, model->config.in_channels, side, side};
  const DiscreteVp process;
  const std::vector<double> sigmas = MakeSchedule("time_uniform")(kSteps, 0, 0);
  std::vector<double> times;
  return Watch(weights,
               {.shape = shape,
                .sigmas = sigmas,
                .start = std::hypot(1, sigmas.front()),
                .sampler = "dpm_singlestep",
                .classes = model->config.num_classes + 1,
                .denoiser =
                    [&](Context&, Tensor label) {
                      return std::make_unique<DimDenoiser>(
                          model, shape, std::move(label),
                          [&](double sigma) { return 1000 * process.TimeAt(sigma); }, times);
                    }},
               pictures, seed);
}

std::map<std::string, float> CalibrateBidim(const Weights& weights, const Json& config,
                                            int64_t pictures, uint64_t seed) {
  const auto network =
      LoadBidimNetwork(weights, config, weights.path.string(), Device::kCpu, DType::kF32);
  const NetworkTraits& traits = network->traits();
  Require(traits.text_width == 0, ErrorKind::kUnsupported,
          "{}: only networks that are conditioned on classes can be calibrated, not on a text; "
          "without --calibrate every row of inputs has its own scale",
          weights.path.string());
  const Shape shape = traits.BatchShape(1, traits.frames, traits.height, traits.width);
  const std::vector<double> sigmas =
      MakeSchedule("karras")(kSteps, traits.sigma_min, traits.sigma_max);
  const std::unique_ptr<DiffusionSession> session = network->MakeSession(shape);
  return Watch(weights,
               {.shape = shape,
                .sigmas = sigmas,
                .start = sigmas.front(),
                .sampler = "dpmpp_2m",
                .classes = traits.num_classes + 1,
                .denoiser =
                    [&](Context& ctx, Tensor label) {
                      Conditions conditions;
                      conditions.class_cond = std::move(label);
                      session->Condition(ctx, conditions);
                      return std::make_unique<KarrasDenoiser>(
                          [&](Context& c, ConstView x, std::span<const double> levels, View out) {
                            session->Forward(c, x, levels, out);
                          },
                          traits.sigma_data);
                    }},
               pictures, seed);
}

}  // namespace

std::map<std::string, float> Calibrate(const Weights& weights, const Json& config, int64_t pictures,
                                       uint64_t seed) {
  if (IsBidimCheckpoint(weights)) return CalibrateBidim(weights, config, pictures, seed);
  Require(
      weights.tensors.contains(std::string(kDimMark)), ErrorKind::kUnsupported,
      "{}: only Diffusion Mambas can be calibrated; without --calibrate every row of inputs has "
      "its own scale",
      weights.path.string());
  return CalibrateDim(weights, config, pictures, seed);
}

}  // namespace gesso
