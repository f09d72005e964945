#include "models/io/sharded.h"

#include <algorithm>
#include <set>

#include "models/io/json.h"
#include "models/io/printable.h"

namespace gesso {

namespace {

constexpr size_t kMaxIndexSize = size_t{64} << 20;

// The index may only name files in its own folder or below it.
std::filesystem::path ShardPath(const std::filesystem::path& folder, const std::string& name) {
  const std::filesystem::path relative(name);
  const bool inside = !name.empty() && relative.is_relative() && relative.has_filename() &&
                      name.find('\0') == std::string::npos &&
                      std::ranges::find(relative, std::filesystem::path("..")) == relative.end();
  Require(inside, ErrorKind::kFormat, "weight_map: '{}' is not a file beside the index",
          Printable(name));
  return folder / relative;
}

std::map<std::string, std::string> WeightMap(const FileBytes& index) {
  Require(index.bytes.size() <= kMaxIndexSize, ErrorKind::kFormat, "is larger than {} bytes",
          kMaxIndexSize);
  const Json json = ParseJson(AsText(index.bytes), "index");
  const auto map = json.find("weight_map");
  Require(map != json.end() && map->is_object(), ErrorKind::kFormat,
          "is a JSON file without a 'weight_map', so not the index of a checkpoint");
  std::map<std::string, std::string> result;
  for (const auto& [tensor, file] : map->items()) {
    Require(file.is_string(), ErrorKind::kFormat, "weight_map: the file of '{}' is not a text",
            Printable(tensor));
    result[tensor] = file.get<std::string>();
  }
  Require(!result.empty(), ErrorKind::kFormat, "weight_map: is empty");
  return result;
}

// Moves the shard's tensors into `all`.
void Join(Weights& all, Weights shard) {
  all.metadata.merge(shard.metadata);
  all.mapped.insert(all.mapped.end(), shard.mapped.begin(), shard.mapped.end());
  all.tensors.merge(shard.tensors);  // leaves those whose name is taken
  Require(shard.tensors.empty(), ErrorKind::kFormat, "tensor '{}' is in {} and in another shard",
          Printable(shard.tensors.empty() ? "" : shard.tensors.begin()->first),
          shard.path.filename().string());
}

}  // namespace

bool IsJson(std::span<const std::byte> bytes) {
  const std::string_view text = AsText(bytes);
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

Weights OpenSharded(const FileBytes& index,
                    const std::function<Weights(const std::filesystem::path&)>& open_shard) {
  return WithContext(index.path.string(), [&] {
    const std::map<std::string, std::string> weight_map = WeightMap(index);
    std::set<std::string> files;
    for (const auto& [tensor, file] : weight_map) files.insert(file);

    Weights all;
    all.path = index.path;
    for (const std::string& file : files) {
      const auto path = ShardPath(index.path.parent_path(), file);
      std::error_code error;
      Require(std::filesystem::exists(path, error), ErrorKind::kIo, "shard {} is missing",
              Printable(file));
      Weights shard = open_shard(path);
      for (const auto& [tensor, place] : weight_map) {
        Require(place != file || shard.tensors.contains(tensor), ErrorKind::kFormat,
                "weight_map: tensor '{}' is not in {}", Printable(tensor), Printable(file));
      }
      Join(all, std::move(shard));
    }
    return all;
  });
}

}  // namespace gesso
