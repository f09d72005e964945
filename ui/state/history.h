// Undo and redo without a limit. A step is what two versions of a document differ in, so whatever
// changes a document can be undone; nothing has to know how to undo itself.
#pragma once

#include <string>
#include <vector>

#include "ui/state/document.h"
#include "ui/state/tile_vault.h"

namespace gesso::ui {

class History {
 public:
  // Bytes of memory for tiles that were changed; more of them go to a file.
  explicit History(size_t memory_limit = size_t{256} << 20) : vault_(memory_limit) {}

  // Remembers the step from `before` to `after`; steps that were undone are forgotten. Returns
  // false, and remembers nothing, if they are the same.
  bool Push(std::string name, const Document& before, const Document& after);
  // Return the name of the step, or nothing if there is none.
  std::optional<std::string> Undo(Document& document);
  std::optional<std::string> Redo(Document& document);
  // Forgets everything: another document was opened.
  void Clear();

  bool can_undo() const { return position_ > 0; }
  bool can_redo() const { return position_ < steps_.size(); }
  size_t size() const { return steps_.size(); }
  size_t position() const { return position_; }  // steps that are done
  const std::string& name(size_t step) const { return steps_[step].name; }
  const TileVault& vault() const { return vault_; }

 private:
  // The tiles in which a picture differs from its counterpart in another version.
  struct ImageDelta {
    bool is_new = false;  // there is no counterpart: it starts from zeros
    std::vector<std::pair<size_t, TileVault::Ticket>> tiles;
  };
  struct Delta {
    int width;
    int height;
    uint64_t last_id;
    std::shared_ptr<const MidiFile> song;
    std::vector<LayerInfo> layers;
    std::vector<ImageDelta> pixels;  // of each layer
    ImageDelta mask;
  };
  struct Step {
    std::string name;
    Delta delta;  // to before the step if it is done, to after it if it was undone
  };

  ImageDelta DeltaOf(const TiledImage& target, const TiledImage* base);
  Delta DeltaOf(const Document& target, const Document& base);
  TiledImage Apply(const ImageDelta& delta, const TiledImage* base, const TiledImage& shape) const;
  Document Apply(const Delta& delta, const Document& base) const;
  std::string Cross(size_t step, Document& document);

  TileVault vault_;
  std::vector<Step> steps_;
  size_t position_ = 0;
};

}  // namespace gesso::ui
