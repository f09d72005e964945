#include "pipelines/video/window_store.h"

#include <algorithm>
#include <string>

#include "models/io/output_file.h"
#include "models/io/safetensors.h"
#include "models/io/weights.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRequest = "request.json";
constexpr std::string_view kWindow = "window-";
constexpr std::string_view kFrames = "frames";  // the tensor in a window's file

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool IsOurs(const std::string& name) {
  return name == kRequest || name == std::string(kRequest) + ".part" || name.starts_with(kWindow);
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
  std::error_code error;
  const bool created = fs::create_directory(folder, error);
  Require(created, ErrorKind::kOutput, "{}: cannot be made ({})", folder.string(),
          error ? error.message() : "it exists");
  WriteFile(folder / kRequest, ToJson(request).dump(2) + "\n", false);
  return WindowStore(folder);
}

WindowStore WindowStore::Resume(const fs::path& folder, const Request& request) {
  const std::optional<Request> saved = SavedRequest(folder);
  CHECK(saved.has_value());
  const Json old_settings = ToJson(*saved);
  const Json new_settings = ToJson(request);
  std::string differing;
  const auto compare = [&](const Json& one, const Json& other) {
    for (const auto& [key, value] : one.items()) {
      if (other.contains(key) && other[key] == value) continue;
      if (differing.find(key) == std::string::npos)
        differing += (differing.empty() ? "" : ", ") + key;
    }
  };
  compare(old_settings, new_settings);
  compare(new_settings, old_settings);
  Require(differing.empty(), ErrorKind::kUsage,
          "{}: the unfinished clip was asked for with other settings ({}); give the same ones, or "
          "start anew with --overwrite",
          folder.string(), differing);
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
    return name.starts_with(kWindow) && !name.ends_with(".part");
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
