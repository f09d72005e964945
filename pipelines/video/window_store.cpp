#include "pipelines/video/window_store.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <string>

#include "models/io/output_file.h"
#include "models/io/safetensors.h"
#include "models/io/weights.h"
#include "pipelines/fingerprint.h"
#include "pipelines/installed_models.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRequest = "request.json";
constexpr std::string_view kFiles = "files.json";
constexpr std::string_view kWindow = "window-";
constexpr std::string_view kPart = ".part";     // of what is being written
constexpr std::string_view kFrames = "frames";  // the tensor in a window's file

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// `name` is "request.json" or, half written, "request.json.<letters>.part".
bool IsOurs(const std::string& name) {
  const auto is = [&](std::string_view file) {
    return name == file || (name.starts_with(file) && name.ends_with(kPart));
  };
  return is(kRequest) || is(kFiles) || name.starts_with(kWindow);
}

// What the files hold that frames depend on.
Json FilesOf(const Request& request) {
  Json files = FingerprintOf(FindModel(*request.model));
  if (request.init_image) files.update(FingerprintOf(*request.init_image));
  return files;
}

// The keys of which the values differ.
std::string Differences(const Json& one, const Json& other) {
  std::set<std::string> keys;
  const auto compare = [&](const Json& from, const Json& with) {
    for (const auto& [key, value] : from.items()) {
      if (!with.contains(key) || with[key] != value) keys.insert(key);
    }
  };
  compare(one, other);
  compare(other, one);
  return fmt::format("{}", fmt::join(keys, ", "));
}

}  // namespace

std::optional<Request> WindowStore::SavedRequest(const fs::path& folder) {
  if (!Exists(folder)) return std::nullopt;
  const fs::path path = folder / kRequest;
  Require(Exists(path), ErrorKind::kIo, "{}: is no folder of an unfinished clip (no {} in it)",
          folder.string(), kRequest);
  return RequestFromJson(ReadJson(path), path.string());
}

WindowStore WindowStore::Create(const fs::path& folder, const Request& request) {
  const Json files = FilesOf(request);
  std::error_code error;
  const bool created = fs::create_directory(folder, error);
  Require(created, ErrorKind::kOutput, "{}: cannot be made ({})", folder.string(),
          error ? error.message() : "it exists");
  WriteFile(folder / kFiles, files.dump(2) + "\n", false);
  WriteFile(folder / kRequest, ToJson(request).dump(2) + "\n", false);
  return WindowStore(folder);
}

WindowStore WindowStore::Resume(const fs::path& folder, const Request& request) {
  const std::optional<Request> saved = SavedRequest(folder);
  CHECK(saved.has_value());
  const std::string settings = Differences(ToJson(*saved), ToJson(request));
  Require(settings.empty(), ErrorKind::kUsage,
          "{}: the unfinished clip was asked for with other settings ({}); give the same ones, or "
          "start anew with --overwrite",
          folder.string(), settings);
  const std::string files = Differences(ReadJson(folder / kFiles), FilesOf(request));
  Require(files.empty(), ErrorKind::kFormat,
          "{}: the unfinished clip was made from other files ({}); put the same ones back, or "
          "start anew with --overwrite",
          folder.string(), files);
  return WindowStore(folder);
}

fs::path WindowStore::PathOf(int64_t index) const {
  return folder_ / fmt::format("{}{:06}.safetensors", kWindow, index);
}

std::optional<Tensor> WindowStore::Load(int64_t index, const Shape& shape) const {
  const fs::path path = PathOf(index);
  if (!Exists(path)) return std::nullopt;
  const Weights file = OpenWeights(path);
  const Tensor& frames = file.At(std::string(kFrames));
  Require(frames.shape() == shape && frames.dtype() == DType::kF32, ErrorKind::kFormat,
          "{}: holds {} {}, not float32 {}; delete the file to have it made again", path.string(),
          NameOf(frames.dtype()), frames.shape(), shape);
  return Cast(frames, DType::kF32);  // a copy: the file need not stay mapped
}

void WindowStore::Save(int64_t index, const Tensor& frames) const {
  WriteSafetensors(PathOf(index), {{std::string(kFrames), frames}}, {});
}

bool WindowStore::IsEmpty() const {
  std::error_code error;
  return std::ranges::none_of(fs::directory_iterator(folder_, error), [](const auto& entry) {
    const std::string name = entry.path().filename().string();
    return name.starts_with(kWindow) && !name.ends_with(kPart);
  });
}

void WindowStore::Remove(const fs::path& folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (IsOurs(entry.path().filename().string())) fs::remove(entry.path(), error);
  }
  fs::remove(folder, error);
}

}  // namespace gesso
