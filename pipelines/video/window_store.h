// The windows of a clip that are finished, on disk: what an interrupted render goes on from.
#pragma once

#include <filesystem>
#include <optional>

#include "kernels/core/tensor.h"
#include "pipelines/request.h"

namespace gesso {

// A folder with the request (request.json), the fingerprints of the model's files and the first
// frame's (files.json), and a file a window (window-000000.safetensors, frames [1, C, T, H, W]
// f32), each written aside and renamed.
class WindowStore {
 public:
  // The request that the folder was made for; nothing if there is no such folder. Throws kIo,
  // kFormat or kUsage for one that is damaged or not ours.
  static std::optional<Request> SavedRequest(const std::filesystem::path& folder);

  // A new folder. Throws kOutput where it exists or cannot be made.
  static WindowStore Create(const std::filesystem::path& folder, const Request& request);
  // The folder of an earlier run. Throws kUsage, naming the fields, unless it was made for
  // `request`, and kFormat, naming the files, where its model or first frame has changed.
  static WindowStore Resume(const std::filesystem::path& folder, const Request& request);

  // Window `index` as frames of `shape`, if it is finished. Throws kFormat for a damaged file.
  std::optional<Tensor> Load(int64_t index, const Shape& shape) const;
  void Save(int64_t index, const Tensor& frames) const;  // throws kOutput
  bool IsEmpty() const;                                  // no window is finished
  // Deletes the folder with all that this class writes; other files in it are left alone.
  static void Remove(const std::filesystem::path& folder);

 private:
  explicit WindowStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path PathOf(int64_t index) const;

  std::filesystem::path folder_;
};

}  // namespace gesso
