#include "pipelines/generator.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>

#include "kernels/core/backend.h"
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

// A job, and as many of its pictures at once as fit into memory.
struct Work {
  std::unique_ptr<PictureJob> job;  // keeps a reference to its request
  JobMemory memory;                 // the arena may have to be made
  int64_t size = 0;                 // pictures of the batch
  int64_t bytes = 0;                // of its arena
};

// Whether a batch of work.size fits with what `last` still holds, into its arena or beside it.
bool HasRoom(Work& work, JobMemory& last) {
  work.bytes = work.memory.batch->ArenaBytes();
  if (last.arena != nullptr && last.arena->capacity_bytes() >= static_cast<size_t>(work.bytes)) {
    work.memory.arena = std::move(last.arena);
    return true;
  }
  last.arena.reset();
  return work.bytes <= AvailableMemory();
}

// Throws kMemory if not even one picture fits. What `last` has is used again, or given back where
// room is short.
Work Fit(const PictureModel& model, Request& resolved, JobMemory& last) {
  Work work{model.Prepare(resolved), {}};
  const PictureJob& job = *work.job;
  job.RequireRoom();
  const auto fits = [&](int64_t bytes) {
    if (bytes > AvailableMemory()) last = {};
    return bytes <= AvailableMemory();
  };
  const std::string name = fmt::format("a picture of {} x {}", *resolved.width, *resolved.height);
  int64_t& size = work.size;
  size = std::min(*resolved.batch_count, job.MaxBatch());
  while (!fits(job.StateBytes(size)) && size > 1) size /= 2;
  RequireMemory(job.StateBytes(size), name);
  const auto make = [&](std::unique_ptr<PictureBatch> from) {
    work.memory.batch.reset();
    work.memory.batch = job.MakeBatch(size, std::move(from));
    return HasRoom(work, last);
  };
  const bool had_last = last.batch != nullptr;
  bool has_room = make(std::move(last.batch));
  if (!has_room && had_last) has_room = make(nullptr);
  while (!has_room && size > 1) {
    size /= 2;
    has_room = make(nullptr);
  }
  if (!has_room) RequireMemory(work.bytes, name);
  return work;
}

// The same, in tiles where the whole does not fit, which is then told to people and left in the
// settings. Throws kMemory if tiles do not fit either.
Work FitOrTile(const PictureModel& model, Request& resolved, JobMemory last) {
  const Request asked = resolved;
  try {
    return Fit(model, resolved, last);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kMemory) throw;
    const std::vector<TiledSettings> ways = model.InTiles(asked);
    for (const TiledSettings& way : ways) {
      resolved = way.request;
      try {
        Work work = Fit(model, resolved, last);
        spdlog::warn("{}: it is {}", error.what(), way.how);
        return work;
      } catch (const Error& of_tiles) {
        if (of_tiles.kind() != ErrorKind::kMemory) throw;
      }
    }
    const std::string tried = ways.empty() ? "" : ", nor " + ways.back().how;
    Fail(ErrorKind::kMemory, "{}{}; {}", error.what(), tried, kLessMemory);
  }
}

}  // namespace

const PictureModel& Generator::ModelOf(const Request& request) {
  const std::filesystem::path path = FindModel(*request.model);
  const DType dtype = ParseDType(*request.dtype);
  if (model_ == nullptr || path_ != path || dtype_ != dtype) {
    last_ = {};
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
  auto [job, memory, size, bytes] = FitOrTile(ModelOf(asked), resolved, std::move(last_));
  const int64_t total = *resolved.batch_count;
  if (memory.arena == nullptr) {
    memory.arena = std::make_unique<Arena>(device_, static_cast<size_t>(bytes));
  }
  Context ctx{.device = device_, .arena = memory.arena.get()};
  for (int64_t first = 0; first < total; first += size) {
    if (size > total - first) {
      size = total - first;
      memory.batch.reset();
      memory.batch = job->MakeBatch(size, nullptr);
    }
    std::vector<Image> images = memory.batch->Run(ctx, first, observer);
    for (int64_t i = 0; i < size; ++i) {
      observer.OnPicture(
          {std::move(images[static_cast<size_t>(i)]), first + i, SettingsOf(resolved, first + i)});
    }
  }
  if (memory.batch->MayServeAgain()) last_ = std::move(memory);
}

}  // namespace gesso
