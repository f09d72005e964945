// gesso_bench_decode: times the decoder of a VQVAE on given latents, for bench/compare_decoder.py.
// Prints one JSON object; the picture itself can be written for comparison.
#include <chrono>

#include "bench/program.h"
#include "models/autoencoder/decoder.h"
#include "models/io/safetensors.h"
#include "models/nn/load.h"
#include "models/vqvae/config.h"

namespace gesso::bench {
namespace {

struct DecodeOptions {
  std::filesystem::path model;   // the decoder's tensors, the VQVAE's config in the metadata
  std::filesystem::path input;   // latents [B, Z, h, w] as tensor "latents"
  std::filesystem::path output;  // the picture goes here as tensor "out"; empty: nowhere
  int repetitions = 5;           // timed ones, after one that is not
  DType dtype = DType::kF32;
};

Json OpsOf(const Profiler& profiler, double& flops) {
  Json ops = Json::object();
  for (const auto& [name, entry] : profiler.entries()) {
    ops[name] = {{"calls", entry.calls},
                 {"seconds", entry.seconds},
                 {"flops", entry.cost.flops},
                 {"bytes", entry.cost.bytes}};
    flops += entry.cost.flops;
  }
  return ops;
}

size_t ArenaBytes(const autoencoder::Decoder& decoder, DType activation, const Shape& latents) {
  Arena arena(Device::kMeta, 0);
  Arena outside(Device::kMeta, 0);
  Context ctx{.device = Device::kMeta, .arena = &arena};
  decoder.Forward(ctx, activation, outside.Alloc(latents, DType::kF32),
                  outside.Alloc(decoder.PictureShape(latents), DType::kF32));
  return arena.peak_bytes();
}

Json MeasureDecode(const DecodeOptions& options) {
  const Weights weights = OpenWeights(options.model);
  const auto config = weights.metadata.find("config");
  Require(config != weights.metadata.end(), ErrorKind::kConfig,
          "{}: has no metadata entry 'config'", options.model.string());
  autoencoder::Decoder decoder(vqvae::ParseConfig(ParseJson(config->second, "config")).decoder);
  nn::LoadWeights(decoder, weights, Device::kCpu, options.dtype);
  const DType activation = ActivationDType(Device::kCpu, options.dtype);
  const Weights input = OpenWeights(options.input);
  const Tensor latents = Cast(input.At("latents").view().Permute({0, 2, 3, 1}), DType::kF32);
  Tensor out(decoder.PictureShape(latents.shape()), DType::kF32);
  const size_t arena_bytes = ArenaBytes(decoder, activation, latents.shape());
  Arena arena(Device::kCpu, arena_bytes);
  Context ctx{.device = Device::kCpu, .arena = &arena};
  decoder.Forward(ctx, activation, latents, out.mutable_view());
  std::vector<double> seconds;
  for (int i = 0; i < options.repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    decoder.Forward(ctx, activation, latents, out.mutable_view());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    seconds.push_back(elapsed.count());
  }
  if (!options.output.empty()) WriteSafetensors(options.output, {{"out", out}}, {});
  Profiler profiler;
  ctx.profiler = &profiler;
  decoder.Forward(ctx, activation, latents, out.mutable_view());
  double flops = 0;
  Json ops = OpsOf(profiler, flops);
  return {{"seconds", seconds}, {"arena_bytes", arena_bytes}, {"flops", flops}, {"ops", ops}};
}

int Main(int argc, char** argv) {
  DecodeOptions options;
  std::string dtype = "float32";
  CLI::App app("Times a VQVAE's decoder and prints JSON.", "gesso_bench_decode");
  app.add_option("model", options.model, "safetensors file with the config in its metadata")
      ->required();
  app.add_option("--input", options.input, "safetensors file with latents [B, Z, h, w]")
      ->required();
  app.add_option("--output", options.output, "where the picture goes, as safetensors");
  app.add_option("--repetitions", options.repetitions)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--dtype", dtype)
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  return RunProgram(app, argc, argv, [&] {
    options.dtype = dtype == "bfloat16" ? DType::kBF16 : DType::kF32;
    fmt::print("{}\n", MeasureDecode(options).dump());
  });
}

}  // namespace
}  // namespace gesso::bench

int main(int argc, char** argv) { return gesso::bench::Main(argc, argv); }
