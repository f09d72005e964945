// What painting costs the editor: a stamp and a tile to compose against the size of the picture,
// and the memory of a thousand strokes with undo.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <random>

#include "ui/actions/brush.h"
#include "ui/actions/layer_actions.h"
#include "ui/state/history.h"

namespace gesso::ui {
namespace {

// A stamp of 200 px in the midst of a stroke; the argument is the side of the picture.
void StampBrush(benchmark::State& state) {
  const int side = static_cast<int>(state.range(0));
  Document document(side, side);
  Stroke stroke(document.mask, {.size = 200, .hardness = 0.5, .flow = 0.2}, false);
  std::mt19937 random(1);
  const auto somewhere = [&] {
    return static_cast<double>(random() % static_cast<unsigned>(side));
  };
  for (auto _ : state) stroke.Stamp({somewhere(), somewhere()});
}
BENCHMARK(StampBrush)->Arg(512)->Arg(2048)->Arg(8192)->Unit(benchmark::kMicrosecond);

// One tile of three layers, as the window composes it when something changed.
void ComposeTile(benchmark::State& state) {
  Image picture{1024, 1024, 3, std::vector<uint8_t>(size_t{3} << 20, 100)};
  Document document = OpenAsDocument(picture, "");
  for (int i = 0; i < 2; ++i) {
    SetLayerOpacity(document, AddLayer(document, picture, {.name = "layer"}), 0.5f);
  }
  std::vector<uint8_t> rgba(size_t{4} * kTileSide * kTileSide);
  for (auto _ : state) CompositeTile(document, 5, rgba.data());
}
BENCHMARK(ComposeTile)->Unit(benchmark::kMicrosecond);

// A thousand strokes of 200 px across a picture of 8192 x 8192 with a layer, each an undo step.
void ThousandStrokes(benchmark::State& state) {
  constexpr int kSide = 8192;
  for (auto _ : state) {
    Image picture{kSide, kSide, 3, std::vector<uint8_t>(size_t{3} * kSide * kSide)};
    for (size_t i = 0; i < picture.pixels.size(); ++i) {
      picture.pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
    }
    Document document = OpenAsDocument(picture, "");
    picture = {};
    History history;
    std::mt19937 random(1);
    for (int i = 0; i < 1000; ++i) {
      const auto somewhere = [&] { return static_cast<double>(random() % kSide); };
      const Document before = document;
      Stroke stroke(document.mask, {.size = 200, .hardness = 0.5}, i % 4 == 3);
      Point at = {somewhere(), somewhere()};
      stroke.LineTo(at);
      for (int k = 0; k < 10; ++k) {
        at = {at.x + static_cast<double>(random() % 200) - 60, at.y + 40};
        stroke.LineTo(at);
      }
      history.Push("stroke", before, document);
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    state.counters["peak_MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
    state.counters["undo_memory_MB"] = static_cast<double>(history.vault().memory_bytes()) / 1e6;
    state.counters["undo_file_MB"] = static_cast<double>(history.vault().file_bytes()) / 1e6;
  }
}
BENCHMARK(ThousandStrokes)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace gesso::ui

BENCHMARK_MAIN();
