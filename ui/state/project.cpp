#include "ui/state/project.h"

#include <set>

#include "models/io/zip_archive.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/zip_writer.h"

namespace gesso::ui {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{4} << 30;
constexpr int64_t kMaxSide = 32768;
constexpr int64_t kMaxLayers = 1000;
constexpr int64_t kMaxBytes = int64_t{4} << 30;  // of all layers, unpacked
constexpr std::string_view kSettings = "project.json";
constexpr std::string_view kMask = "mask.png";

std::string LayerFile(uint64_t id) { return fmt::format("layers/{}.png", id); }

Json Describe(const Project& project) {
  const Document& document = project.document;
  Json layers = Json::array();
  for (const Layer& layer : document.layers) {
    const LayerInfo& info = layer.info;
    Json entry = {{"id", info.id},
                  {"name", info.name},
                  {"opacity", info.opacity},
                  {"visible", info.visible},
                  {"picture", LayerFile(info.id)}};
    if (info.request) entry["request"] = ToJson(*info.request);
    layers.push_back(std::move(entry));
  }
  return {{"program", "gesso"},
          {"version", kProjectVersion},
          {"width", document.width},
          {"height", document.height},
          {"last_id", document.last_id},
          {"layers", std::move(layers)},
          {"mask", kMask},
          {"request", ToJson(project.request)}};
}

class Reader {
 public:
  explicit Reader(const fs::path& path) : bytes_(ReadFile(path, kMaxFileBytes)) {
    const std::span<const std::byte> all = std::as_bytes(std::span(bytes_));
    Require(IsZip(all), ErrorKind::kFormat, "is not a project: no zip file");
    directory_ = ReadZipDirectory(all);
  }

  std::string_view Entry(const std::string& name) const {
    const auto entry = StoredEntry(directory_, name);
    Require(entry.has_value(), ErrorKind::kFormat, "is not a project: it has no {}", name);
    return {reinterpret_cast<const char*>(entry->data()), entry->size()};
  }

  TiledImage Picture(const std::string& name, int channels, const Document& document) const {
    const Image image = DecodeImage(Entry(name), channels, name);
    Require(image.width == document.width && image.height == document.height, ErrorKind::kFormat,
            "{} is {} x {}, but the project {} x {}", name, image.width, image.height,
            document.width, document.height);
    return TiledImage(image);
  }

 private:
  std::string bytes_;
  ZipDirectory directory_;
};

Layer ReadLayer(const Reader& reader, const Json& json, const Document& document) {
  LayerInfo info;
  info.id = static_cast<uint64_t>(GetInt(json, "id", 1, INT64_MAX));
  info.name = Get<std::string>(json, "name");
  info.opacity = static_cast<float>(GetNumber(json, "opacity", 0, 1));
  info.visible = Get<bool>(json, "visible");
  if (json.contains("request")) {
    info.request = RequestFromJson(json.at("request"), "layer '" + info.name + "'");
  }
  return {info, reader.Picture(Get<std::string>(json, "picture"), 4, document)};
}

Project Parse(const Reader& reader) {
  const Json json = ParseJson(reader.Entry(std::string(kSettings)), std::string(kSettings));
  Require(json.is_object() && json.contains("program") && json.at("program") == "gesso",
          ErrorKind::kFormat, "is not a project: its {} is another program's", kSettings);
  const int64_t version = GetInt(json, "version", 1, INT64_MAX);
  Require(version <= kProjectVersion, ErrorKind::kUnsupported,
          "was saved by a newer gesso (version {} of the format, this one reads up to {})", version,
          kProjectVersion);
  const auto side = [&](const char* name) {
    return static_cast<int>(GetInt(json, name, 0, kMaxSide));
  };
  Project project{Document(side("width"), side("height")),
                  RequestFromJson(json.value("request", Json::object()), std::string(kSettings))};
  Document& document = project.document;
  document.last_id = static_cast<uint64_t>(GetInt(json, "last_id", 0, INT64_MAX));
  const Json layers = Get<Json>(json, "layers");
  Require(layers.is_array() && std::ssize(layers) <= kMaxLayers, ErrorKind::kFormat,
          "field 'layers' is not a list of at most {}", kMaxLayers);
  const int64_t bytes = int64_t{4} * document.width * document.height * std::ssize(layers);
  Require(bytes <= kMaxBytes, ErrorKind::kFormat, "holds {} bytes of layers, more than {}", bytes,
          kMaxBytes);
  std::set<uint64_t> ids;
  for (const Json& layer : layers) {
    document.layers.push_back(ReadLayer(reader, layer, document));
    const uint64_t id = document.layers.back().info.id;
    Require(ids.insert(id).second && id <= document.last_id, ErrorKind::kFormat,
            "layer id {} is used twice or too large", id);
  }
  if (!document.empty()) document.mask = reader.Picture(std::string(kMask), 1, document);
  return project;
}

}  // namespace

const std::string& ProjectWriter::Encode(uint64_t id, const TiledImage& pixels) {
  Encoded& encoded = encoded_[id];
  if (encoded.png.empty() || !encoded.pixels.SharesAllTiles(pixels)) {
    encoded = {pixels, EncodePng(pixels.ToImage(), {})};
  }
  return encoded.png;
}

void ProjectWriter::Write(const Project& project, const fs::path& path) {
  OutputFile file(path);
  ZipWriter zip(file);
  const Document& document = project.document;
  zip.Add(std::string(kSettings), Describe(project).dump(1));
  for (const Layer& layer : document.layers) {
    zip.Add(LayerFile(layer.info.id), Encode(layer.info.id, layer.pixels));
  }
  if (!document.empty()) zip.Add(std::string(kMask), Encode(0, document.mask));
  std::erase_if(encoded_, [&](const auto& item) {
    return item.first != 0 && document.Find(item.first) == nullptr;
  });
  zip.Finish();
  file.Commit();
}

Project ReadProject(const fs::path& path) {
  return WithContext(path.string(), [&] { return Parse(Reader(path)); });
}

}  // namespace gesso::ui
