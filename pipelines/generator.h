// From a request to pictures: validate, condition once, then batches of pictures with the settings
// that make them again. The model stays loaded.
#pragma once

#include <filesystem>
#include <memory>

#include "pipelines/picture_model.h"

namespace gesso {

// What a job leaves to the next one with the same model, where that can use it: a device plays what
// it recorded over the same memory.
struct JobMemory {
  std::unique_ptr<Arena> arena;
  std::unique_ptr<PictureBatch> batch;
};

class Generator {
 public:
  explicit Generator(Device device) : device_(device) {}

  // `request` with every open field filled in from the model's defaults; a seed is chosen. Loads
  // the model. Throws kUsage for what the model cannot do.
  Request Resolve(const Request& request);

  // Makes batch_count pictures; picture i has seed + i and does not depend on the others. A batch
  // is cut into parts that fit into memory. If not even one picture fits, it is made in tiles where
  // the model can and the request leaves it open; a warning says so, and the pictures' settings
  // have the tiles. Throws kMemory, with the number of bytes, before the work starts if neither
  // fits.
  void Run(const Request& resolved, GenerateObserver& observer);

  // The model of a resolved request; loads it if it is not the one used last.
  const PictureModel& ModelOf(const Request& request);

 private:
  Device device_;
  std::unique_ptr<PictureModel> model_;  // the one used last
  JobMemory last_;                       // of model_
  std::filesystem::path path_;
  DType dtype_ = DType::kF32;
};

}  // namespace gesso
