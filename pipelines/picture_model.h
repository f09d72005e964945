// A model that makes pictures, of whatever family: what the generator needs of it. A family is its
// implementation of these three classes and one line in picture_model.cpp.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/core/context.h"
#include "models/io/json.h"
#include "models/io/weights.h"
#include "pipelines/image.h"
#include "pipelines/request.h"

namespace gesso {

struct StepReport {
  int64_t first;    // index in the job of the first of the pictures being made
  int64_t count;    // how many are being made together
  double progress;  // of these, 0 .. 1
  // What they look like by now; may take a while, and is valid during the call only.
  const std::function<std::vector<Image>()>& preview;
};

struct Picture {
  Image image;
  int64_t index;    // in the job
  Request request;  // complete settings, for this picture alone
};

// Follows the work. Throwing Error(kCancelled) ends it; pictures already shown are complete.
class GenerateObserver {
 public:
  virtual ~GenerateObserver() = default;
  virtual void OnStep(const StepReport& step) = 0;
  virtual void OnPicture(const Picture& picture) = 0;
};

// Some pictures of a job that are made together.
class PictureBatch {
 public:
  virtual ~PictureBatch() = default;

  // Whether MakeBatch of a later job can use what it keeps in memory: then it may outlive its own.
  virtual bool MayServeAgain() const { return false; }
  // Bytes of arena that Run needs, from a run on the meta device.
  virtual int64_t ArenaBytes() = 0;
  // Makes the pictures first, first + 1, ... of the job.
  virtual std::vector<Image> Run(Context& ctx, int64_t first, GenerateObserver& observer) = 0;
};

// What all batches of a request share. Keeps references to the model and to the request.
class PictureJob {
 public:
  virtual ~PictureJob() = default;

  // Pictures that may be made together.
  virtual int64_t MaxBatch() const = 0;
  // What a batch of `count` pictures keeps beside the arena, where that is much.
  virtual int64_t StateBytes(int64_t count) const = 0;
  // Throws kMemory for what is surely too large, before anything large is made.
  virtual void RequireRoom() const = 0;
  // `last` is a batch of another job with the same model that may serve again, or null: a device's
  // passes need not be recorded anew then.
  virtual std::unique_ptr<PictureBatch> MakeBatch(int64_t count,
                                                  std::unique_ptr<PictureBatch> last) const = 0;
};

// Settings that make a picture in tiles, which takes less memory.
struct TiledSettings {
  Request request;
  std::string how;  // for people: "made in tiles of 256 pixels (--tile-size 256)"
};

// Const after loading.
class PictureModel {
 public:
  virtual ~PictureModel() = default;

  // Settings where the request has none.
  virtual Request defaults() const = 0;
  // Throws kUsage for what the model cannot do, and fills in what depends on other fields. The
  // defaults are in the request already.
  virtual void Complete(Request& request) const = 0;
  // What to try where a picture with these settings does not fit into memory, the largest tiles
  // first. Nothing where the settings say how to tile, 0 included, or tiles would not be smaller.
  virtual std::vector<TiledSettings> InTiles(const Request& resolved) const = 0;
  // Reads the pictures of the request, and fills in what depends on them.
  virtual std::unique_ptr<PictureJob> Prepare(Request& resolved) const = 0;
  // What the model is and what a picture with these settings costs, for `gesso info`.
  virtual Json Describe(const Request& resolved) const = 0;
};

// One kind of models.
struct PictureFamily {
  std::string_view pipeline;  // `_class_name` in the model_index.json of its folders
  // Whether a bare checkpoint is one of this family.
  bool (*recognises)(const Weights& weights);
  std::unique_ptr<PictureModel> (*load_folder)(const std::filesystem::path& folder, Device device,
                                               DType dtype);
  std::unique_ptr<PictureModel> (*load_checkpoint)(Weights weights, Device device, DType dtype);
};

const std::vector<PictureFamily>& PictureFamilies();

// Loads the folder or bare checkpoint at `path`. Throws kIo, kFormat, kConfig or kUnsupported,
// naming file and field.
std::unique_ptr<PictureModel> LoadPictureModel(const std::filesystem::path& path, Device device,
                                               DType dtype);

// Throws kUsage if the request sets one of `fields`: "steps: has no effect: " + why.
void RefuseFields(const Request& request, std::span<const std::string_view> fields,
                  std::string_view why);

// Throws kUsage if the request sets a field of the other medium.
void RefuseMedium(const Request& request, Medium other, std::string_view why);

// Seeds of the pictures first, first + 1, ... of a request.
std::vector<uint64_t> SeedsOf(const Request& request, int64_t first, int64_t count);

}  // namespace gesso
