// gesso_bench_scales: times each scale of a VAR with guidance, and says at what share of the
// memory's speed it reads its weights: a small scale has hardly anything else to do. Prints one
// JSON object a scale.
#include <algorithm>
#include <chrono>
#include <limits>

#include "bench/program.h"
#include "bench/roofline.h"
#include "models/var/session.h"
#include "pipelines/var_model.h"

namespace gesso::bench {
namespace {

constexpr int64_t kRows = 2;  // a picture under its condition, and without

struct ScaleTimes {
  std::vector<double> seconds;  // by scale, the fastest
  std::vector<Profiler> profiles;
};

// What a scale reads of the weights: the blocks' and the head's matrices. Those of adaLN are read
// before the first scale.
double WeightBytes(const var::Model& model) {
  const var::Config& config = model.config;
  const int64_t block = 4 * config.width * config.width + 2 * config.width * config.ff_width;
  return static_cast<double>(block * config.depth) * static_cast<double>(SizeOf(model.activation)) +
         static_cast<double>(config.vocab_size * config.width) * sizeof(float);
}

ScaleTimes TimeScales(const std::shared_ptr<const var::Model>& model, int64_t scales,
                      int repetitions) {
  const var::Config& config = model->config;
  Tensor labels({kRows}, DType::kI32);
  labels.MutableData<int32_t>()[1] = static_cast<int32_t>(config.num_classes);
  var::Session session(model, kRows);
  Arena arena(Device::kCpu, session.ArenaBytes({.labels = labels}));
  Context ctx{.device = Device::kCpu, .arena = &arena};
  const int64_t largest = model->map(model->scales() - 1).tokens();
  const Tensor input({1, largest, config.code_width}, DType::kF32);
  Tensor logits({kRows, largest, config.vocab_size}, DType::kF32);
  ScaleTimes times{.seconds = std::vector<double>(static_cast<size_t>(scales),
                                                  std::numeric_limits<double>::infinity()),
                   .profiles = std::vector<Profiler>(static_cast<size_t>(scales))};
  for (int run = 0; run < repetitions; ++run) {
    session.Begin(ctx, {.labels = labels});
    for (int64_t scale = 0; scale < scales; ++scale) {
      const int64_t tokens = model->map(scale).tokens();
      const ConstView codes(input.view().data, {1, tokens, config.code_width}, DType::kF32);
      const View out(logits.mutable_view().data, {kRows, tokens, config.vocab_size}, DType::kF32);
      const auto at = static_cast<size_t>(scale);
      ctx.profiler = run + 1 == repetitions ? &times.profiles[at] : nullptr;
      const auto start = std::chrono::steady_clock::now();
      session.Forward(ctx, scale, scale == 0 ? ConstView() : codes, out);
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      if (run > 0) times.seconds[at] = std::min(times.seconds[at], elapsed.count());
    }
    ctx.profiler = nullptr;
  }
  return times;
}

void Measure(const std::string& path, DType dtype, int64_t scales, int repetitions) {
  const VarModel model = MakeVarModel(OpenWeights(path), Device::kCpu, dtype);
  const double bytes = WeightBytes(*model.transformer);
  const double copy = MeasuredPeaks().copy_bytes;
  const ScaleTimes times =
      TimeScales(model.transformer, std::min(scales, model.transformer->scales()), repetitions);
  for (size_t scale = 0; scale < times.seconds.size(); ++scale) {
    Json ops = Json::object();
    for (const auto& [name, entry] : times.profiles[scale].entries()) {
      ops[name] = {{"calls", entry.calls}, {"ms", 1e3 * entry.seconds}};
    }
    const double rate = bytes / times.seconds[scale];
    fmt::print("{}\n",
               Json({{"tokens", model.transformer->map(static_cast<int64_t>(scale)).tokens()},
                     {"ms", 1e3 * times.seconds[scale]},
                     {"weight_bytes", bytes},
                     {"bytes_per_second", rate},
                     {"copy_bytes_per_second", copy},
                     {"share", rate / copy},
                     {"ops", ops}})
                   .dump());
  }
}

int Main(int argc, char** argv) {
  std::string path;
  std::string dtype = "bfloat16";
  int64_t scales = 64;
  int repetitions = 6;
  CLI::App app("Times the scales of a VAR and prints JSON.", "gesso_bench_scales");
  app.add_option("model", path, "var_d16.pth, with its tokenizer beside it")->required();
  app.add_option("--dtype", dtype)
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--scales", scales, "only the first ones")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--repetitions", repetitions, "the first is not counted")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  return RunProgram(app, argc, argv, [&] {
    Measure(path, dtype == "bfloat16" ? DType::kBF16 : DType::kF32, scales, repetitions);
  });
}

}  // namespace
}  // namespace gesso::bench

int main(int argc, char** argv) { return gesso::bench::Main(argc, argv); }
