#include "pipelines/generator.h"

#include <algorithm>
#include <random>

#include "pipelines/installed_models.h"
#include "pipelines/mask/edited_picture.h"
#include "pipelines/memory.h"

namespace gesso {

namespace {

// Settings of every model where nobody has set any.
Request BuiltInDefaults() {
  Request defaults;
  defaults.model = std::string(kDefaultModel);
  defaults.batch_count = 1;
  defaults.dtype = "float32";
  return defaults;
}

// Short enough to be read out and typed in again.
uint64_t ChooseSeed() { return std::random_device{}(); }

// Settings of one of the pictures of a request.
Request SettingsOf(const Request& request, int64_t index) {
  Request settings = request;
  settings.seed = *request.seed + static_cast<uint64_t>(index);
  settings.batch_count = 1;
  return settings;
}

}  // namespace

const PictureModel& Generator::ModelOf(const Request& request) {
  const std::filesystem::path path = FindModel(*request.model);
  const DType dtype = ParseDType(*request.dtype);
  if (model_ == nullptr || path_ != path || dtype_ != dtype) {
    model_.reset();
    model_ = LoadPictureModel(path, device_, dtype);
    path_ = path;
    dtype_ = dtype;
  }
  return *model_;
}

Request Generator::Resolve(const Request& request) {
  RefuseMedium(request, Medium::kClip, "it is of clips, which gesso video makes");
  RefuseAlternatives(request);
  Request asked = request;
  FitToEditedPicture(asked);
  Request resolved = Merge(BuiltInDefaults(), asked);
  const PictureModel& model = ModelOf(resolved);
  resolved = Merge(Merge(resolved, model.defaults()), asked);
  if (!resolved.seed) resolved.seed = ChooseSeed();
  model.Complete(resolved);
  return resolved;
}

void Generator::Run(const Request& asked, GenerateObserver& observer) {
  Request resolved = asked;
  const std::unique_ptr<PictureJob> job = ModelOf(resolved).Prepare(resolved);
  job->RequireRoom();
  const int64_t total = *resolved.batch_count;
  const std::string name = fmt::format("a picture of {} x {}", *resolved.width, *resolved.height);
  int64_t size = std::min(total, job->MaxBatch());
  while (size > 1 && job->StateBytes(size) > AvailableMemory()) size /= 2;
  RequireMemory(job->StateBytes(size), name);
  auto batch = job->MakeBatch(size);
  int64_t bytes = batch->ArenaBytes();
  for (; size > 1 && bytes > AvailableMemory(); bytes = batch->ArenaBytes()) {
    size /= 2;
    batch.reset();
    batch = job->MakeBatch(size);
  }
  RequireMemory(bytes, name);
  Arena arena(device_, static_cast<size_t>(bytes));
  Context ctx{.device = device_, .arena = &arena};
  for (int64_t first = 0; first < total; first += size) {
    if (size > total - first) {
      size = total - first;
      batch.reset();
      batch = job->MakeBatch(size);
    }
    std::vector<Image> images = batch->Run(ctx, first, observer);
    for (int64_t i = 0; i < size; ++i) {
      observer.OnPicture(
          {std::move(images[static_cast<size_t>(i)]), first + i, SettingsOf(resolved, first + i)});
    }
  }
}

}  // namespace gesso
