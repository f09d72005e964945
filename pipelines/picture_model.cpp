#include "pipelines/picture_model.h"

#include <algorithm>

#include "pipelines/bidim_network.h"
#include "pipelines/diffusion_pictures.h"
#include "pipelines/infinity_model.h"
#include "pipelines/infinity_pictures.h"
#include "pipelines/var_model.h"
#include "pipelines/var_pictures.h"

namespace gesso {

namespace fs = std::filesystem;

namespace {

// Whether a folder is a checkpoint in several files, with their index.
bool HoldsShards(const fs::path& folder) {
  std::error_code error;
  const auto is_index = [](const fs::directory_entry& entry) {
    return entry.path().filename().string().ends_with(".index.json");
  };
  return std::ranges::any_of(fs::directory_iterator(folder, error), is_index);
}

}  // namespace

const std::vector<PictureFamily>& PictureFamilies() {
  static const std::vector<PictureFamily> kTable = {
      {"VARPipeline", IsVarCheckpoint, LoadVarFolder, LoadVarCheckpoint},
      {"InfinityPipeline", IsInfinityCheckpoint, LoadInfinityFolder, LoadInfinityCheckpoint},
      {"BidirectionalMambaPipeline", IsBidimCheckpoint, LoadDiffusionFolder,
       LoadDiffusionCheckpoint},
      // Last, as it takes every checkpoint and says what is wrong with it.
      {"HourglassDiffusionPipeline", [](const Weights&) { return true; }, LoadDiffusionFolder,
       LoadDiffusionCheckpoint},
  };
  return kTable;
}

std::unique_ptr<PictureModel> LoadPictureModel(const fs::path& path, Device device, DType dtype) {
  std::error_code error;
  const fs::path index_path = path / "model_index.json";
  // A checkpoint in several files is a folder too.
  if (!fs::is_directory(path, error) || HoldsShards(path)) {
    Weights weights = OpenWeights(path);
    const auto family = std::ranges::find_if(PictureFamilies(),
                                             [&](const auto& f) { return f.recognises(weights); });
    return family->load_checkpoint(std::move(weights), device, dtype);
  }
  Require(fs::exists(index_path, error), ErrorKind::kFormat,
          "{}: is no model folder (it has no model_index.json)", path.string());
  const Json index = ReadJson(index_path);
  const auto name =
      WithContext(index_path.string(), [&] { return Get<std::string>(index, "_class_name"); });
  std::string known;
  for (const PictureFamily& family : PictureFamilies()) {
    if (family.pipeline == name) return family.load_folder(path, device, dtype);
    known += (known.empty() ? "" : ", ") + std::string(family.pipeline);
  }
  Fail(ErrorKind::kUnsupported, "{}: gesso has no pipeline '{}' (it has: {})", index_path.string(),
       name, known);
}

void RefuseFields(const Request& request, std::span<const std::string_view> fields,
                  std::string_view why) {
  VisitFields(request, [&](const FieldInfo& info, const auto& field) {
    Require(!field || std::ranges::find(fields, info.name) == fields.end(), ErrorKind::kUsage,
            "{}: has no effect: {}", info.name, why);
  });
}

void RefuseMedium(const Request& request, Medium other, std::string_view why) {
  VisitFields(request, [&](const FieldInfo& info, const auto& field) {
    Require(!field || info.medium != other, ErrorKind::kUsage, "{}: has no effect: {}", info.name,
            why);
  });
}

std::vector<uint64_t> SeedsOf(const Request& request, int64_t first, int64_t count) {
  std::vector<uint64_t> seeds;
  for (int64_t i = 0; i < count; ++i) {
    seeds.push_back(*request.seed + static_cast<uint64_t>(first + i));
  }
  return seeds;
}

}  // namespace gesso
