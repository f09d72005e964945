// gesso_bench_blocks: times one block of DiM or DiT against the length of the sequence, in one or
// several precisions by turns. Prints one JSON object a line: the fastest run, the error against
// float32 and what the weights take.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

#include "bench/blocks/blocks.h"
#include "bench/program.h"
#include "kernels/core/rng.h"
#include "models/io/json.h"

namespace gesso::bench {

namespace {

struct Options {
  std::vector<std::string> kinds = {"dim"};
  std::vector<std::string> precisions = {"bfloat16"};
  std::vector<int64_t> tokens = {1024};
  int64_t width = 1024;
  int64_t rounds = 5;
  bool calibrate = false;
};

double RelativeError(const Tensor& got, const Tensor& want) {
  double difference = 0;
  double square = 0;
  for (int64_t i = 0; i < want.view().numel(); ++i) {
    const double w = want.Data<float>()[i];
    difference += std::pow(got.Data<float>()[i] - w, 2);
    square += w * w;
  }
  return std::sqrt(difference / square);
}

Tensor Input(int64_t tokens, int64_t width, uint64_t seed) {
  Tensor x({1, tokens, width}, DType::kF32);
  FillNormal(x.mutable_view(), seed, 0);
  return x;
}

double SecondsOf(const Block& block, Context& ctx, const Tensor& x, Tensor& out) {
  const auto start = std::chrono::steady_clock::now();
  block.Forward(ctx, x, out.mutable_view());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Change of the block, without the residual.
Tensor ChangeOf(const Block& block, Context& ctx, const Tensor& x) {
  Tensor out(x.shape(), DType::kF32);
  block.Forward(ctx, x, out.mutable_view());
  for (int64_t i = 0; i < out.view().numel(); ++i)
    out.MutableData<float>()[i] -= x.Data<float>()[i];
  return out;
}

void Measure(const Options& options, const std::string& kind) {
  const Tensor sample = Input(1024, options.width, 7);
  std::vector<std::unique_ptr<Block>> blocks;
  for (const std::string& precision : options.precisions) {
    blocks.push_back(
        MakeBlock(kind, precision, options.width, options.calibrate ? sample.view() : ConstView()));
  }
  Arena arena(Device::kCpu, size_t{16} << 30);  // pages that are never touched cost nothing
  Context ctx{.arena = &arena};
  const Tensor probe = Input(512, options.width, 8);
  const Tensor want = ChangeOf(*MakeBlock(kind, "float32", options.width, {}), ctx, probe);
  for (const int64_t tokens : options.tokens) {
    const Tensor x = Input(tokens, options.width, 9);
    Tensor out(x.shape(), DType::kF32);
    std::vector<double> fastest(blocks.size(), INFINITY);
    for (int64_t round = 0; round <= options.rounds; ++round) {  // one more, to warm up
      for (size_t i = 0; i < blocks.size(); ++i) {
        const double seconds = SecondsOf(*blocks[i], ctx, x, out);
        if (round > 0) fastest[i] = std::min(fastest[i], seconds);
      }
    }
    for (size_t i = 0; i < blocks.size(); ++i) {
      const Json line = {{"block", kind},
                         {"precision", options.precisions[i]},
                         {"width", options.width},
                         {"tokens", tokens},
                         {"threads", NumThreads()},
                         {"ms", fastest[i] * 1e3},
                         {"parameters", blocks[i]->parameters()},
                         {"weight_bytes", blocks[i]->weight_bytes()},
                         {"error", RelativeError(ChangeOf(*blocks[i], ctx, probe), want)}};
      fmt::print("{}\n", line.dump());
      std::fflush(stdout);
    }
  }
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Times blocks of DiM and DiT and prints JSON lines.", "gesso_bench_blocks");
  app.add_option("--block", options.kinds, "dim, dit")->capture_default_str();
  app.add_option("--precision", options.precisions,
                 "float32, bfloat16, q8, q4, w8a8, w4a8, f8, f8a8; measured by turns")
      ->capture_default_str();
  app.add_option("--tokens", options.tokens, "lengths of the sequence")->capture_default_str();
  app.add_option("--width", options.width)->capture_default_str();
  app.add_option("--rounds", options.rounds, "of which the fastest counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--calibrate", options.calibrate, "fixed scales of Mamba's inputs");
  return RunProgram(app, argc, argv, [&] {
    for (const std::string& kind : options.kinds) Measure(options, kind);
  });
}

}  // namespace

}  // namespace gesso::bench

int main(int argc, char** argv) { return gesso::bench::Main(argc, argv); }
