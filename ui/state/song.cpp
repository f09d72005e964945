#include "ui/state/song.h"

#include <algorithm>

#include "ui/actions/layer_actions.h"

namespace gesso::ui {

namespace {

// Every other bar is a little lighter; read as a roll it is still silence.
Image DrawBars(const RollGrid& grid) {
  constexpr uint8_t kShade = 20;
  const int width = static_cast<int>(grid.steps());
  Image image{width, kRollRows, 3,
              std::vector<uint8_t>(static_cast<size_t>(width) * kRollRows * 3)};
  for (int row = 0; row < kRollRows; ++row) {
    for (size_t bar = 1; bar < grid.bars().size(); bar += 2) {
      const int64_t first = int64_t{row} * width + grid.FirstStep(bar);
      const int64_t count = grid.FirstStep(bar + 1) - grid.FirstStep(bar);
      std::fill_n(image.pixels.begin() + 3 * first, 3 * count, kShade);
    }
  }
  return image;
}

// The notes of one layer, transparent where none sounds.
Image DrawNotes(const std::vector<RollNote>& roll, RollLayer layer, int width) {
  std::vector<RollNote> notes;
  for (const RollNote& note : roll) {
    if (note.layer == layer) notes.push_back(note);
  }
  Image rgba = ToRgba(DrawRoll(notes, 0, width));
  for (size_t i = 0; i < rgba.pixels.size(); i += 4) {
    const bool sounds = (rgba.pixels[i] | rgba.pixels[i + 1] | rgba.pixels[i + 2]) != 0;
    rgba.pixels[i + 3] = sounds ? 255 : 0;
  }
  return rgba;
}

std::vector<RollNote> RollOf(const MidiFile& song, const RollGrid& grid) {
  const std::vector<MidiNote> notes = NotesOf(song);
  return Quantise(grid, notes, LayersOf(song, notes));
}

}  // namespace

Document OpenSong(MidiFile song, const std::string& name) {
  const RollGrid grid(song, name);
  Document document(static_cast<int>(grid.steps()), kRollRows);
  AddLayer(document, DrawBars(grid), {.name = "bars"});
  const std::vector<RollNote> roll = RollOf(song, grid);
  for (const RollLayer layer :
       {RollLayer::kDrums, RollLayer::kBass, RollLayer::kChords, RollLayer::kMelody}) {
    const std::string part(kRollLayerNames[static_cast<size_t>(layer)]);
    AddLayer(document, DrawNotes(roll, layer, document.width), {.name = part, .notes = layer});
  }
  document.song = std::make_shared<const MidiFile>(std::move(song));
  return document;
}

void ReplaceSong(Document& document, std::shared_ptr<const MidiFile> song) {
  const RollGrid grid(*song, "the song");
  CHECK(grid.steps() == document.width && document.height == kRollRows);
  const std::vector<RollNote> roll = RollOf(*song, grid);
  for (Layer& layer : document.layers) {
    if (layer.info.notes)
      layer.pixels.Paste(DrawNotes(roll, *layer.info.notes, document.width), 0, 0);
  }
  document.song = std::move(song);
}

bool HaveSameBars(const MidiFile& one, const MidiFile& other) {
  return RollGrid(one, "the song").bars() == RollGrid(other, "the other song").bars();
}

Image DrawComposed(const MidiFile& song, const TiledImage& mask) {
  constexpr size_t kFewest = 4;  // bars; as many as a model sees
  const RollGrid grid(song, "the song");
  const Box masked = mask.UsedBox();
  const size_t count = grid.bars().size();
  size_t first = grid.BarOf(masked.left);
  const size_t end = std::min(std::max(grid.BarOf(masked.right - 1) + 1, first + kFewest), count);
  first = std::min(first, end - std::min(end, kFewest));
  const int64_t left = grid.FirstStep(first);
  const Image roll = Flatten(OpenSong(song, "the song"));
  TiledImage part(static_cast<int>(grid.FirstStep(end) - left), kRollRows, roll.channels);
  part.Paste(roll, -static_cast<int>(left), 0);
  return part.ToImage();
}

}  // namespace gesso::ui
