#include "ui/state/project.h"

#include <set>

#include "models/io/zip_archive.h"
#include "pipelines/media/image_file.h"
#include "pipelines/media/zip_writer.h"
#include "ui/state/song.h"

namespace gesso::ui {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{4} << 30;
constexpr int64_t kMaxSide = kMaxRollSteps;
constexpr int64_t kMaxLayers = 1000;
constexpr int64_t kMaxBytes = int64_t{4} << 30;  // of all layers, unpacked
constexpr std::string_view kSettings = "project.json";
constexpr std::string_view kMask = "mask.png";
constexpr std::string_view kSong = "song.mid";

std::string LayerFile(uint64_t id) { return fmt::format("layers/{}.png", id); }
std::string ResultFile(const std::string& name) { return "history/" + name; }

// The files of the newest results that fit into a project, pictures and the songs beside them, by
// name; of those that are gone, nothing.
std::map<std::string, std::string> FilesOf(const Project& project) {
  std::map<std::string, std::string> files;
  size_t bytes = 0;
  size_t count = 0;
  for (const StoredResult& result : project.results) {
    std::error_code error;
    const uintmax_t size = fs::file_size(result.file, error);
    if (error || !project.has_pictures) continue;
    const fs::path song = ResultStore::SongFile(result.file);
    const bool is_song = fs::exists(song, error);
    bytes += size + (is_song ? fs::file_size(song) : 0);
    if (count++ == kMaxProjectResults || bytes > kMaxProjectResultBytes) break;
    files[result.name] = ReadFile(result.file, kMaxProjectResultBytes);
    if (is_song) files[song.filename().string()] = ReadFile(song, kMaxProjectResultBytes);
  }
  return files;
}

Json Describe(const std::vector<StoredResult>& results,
              const std::map<std::string, std::string>& files) {
  Json history = Json::array();
  for (const StoredResult& result : results) {
    if (history.size() == kMaxProjectResults) break;
    Json entry = {{"name", result.name}, {"request", ToJson(result.request)}};
    const std::string song = ResultStore::SongFile(result.name).string();
    if (files.contains(result.name)) entry["picture"] = ResultFile(result.name);
    if (files.contains(song)) entry["song"] = ResultFile(song);
    history.push_back(std::move(entry));
  }
  return history;
}

Json Describe(const Project& project, const std::map<std::string, std::string>& files) {
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
    if (info.notes) entry["notes"] = kRollLayerNames[static_cast<size_t>(*info.notes)];
    layers.push_back(std::move(entry));
  }
  Json json = {{"program", "gesso"},
               {"version", kProjectVersion},
               {"width", document.width},
               {"height", document.height},
               {"last_id", document.last_id},
               {"layers", std::move(layers)},
               {"mask", kMask},
               {"request", ToJson(project.request)},
               {"history", Describe(project.results, files)}};
  if (document.song != nullptr) json["song"] = kSong;
  return json;
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
  if (json.contains("notes")) {
    const auto part = std::ranges::find(kRollLayerNames, Get<std::string>(json, "notes"));
    Require(part != kRollLayerNames.end(), ErrorKind::kFormat,
            "field 'notes' of layer '{}' names no part of a song", info.name);
    info.notes = static_cast<RollLayer>(part - kRollLayerNames.begin());
  }
  return {info, reader.Picture(Get<std::string>(json, "picture"), 4, document)};
}

std::vector<StoredResult> ReadResults(const Reader& reader, const Json& history) {
  Require(history.is_array() && history.size() <= kMaxProjectResults, ErrorKind::kFormat,
          "field 'history' is not a list of at most {}", kMaxProjectResults);
  std::vector<StoredResult> results;
  for (const Json& entry : history) {
    StoredResult result{.name = Get<std::string>(entry, "name")};
    // It becomes the name of a file.
    Require(ResultStore::IsName(result.name), ErrorKind::kFormat,
            "field 'history': '{}' is no name of a result", result.name);
    result.request = RequestFromJson(Get<Json>(entry, "request"), result.name);
    if (entry.contains("picture")) {
      result.png = reader.Entry(Get<std::string>(entry, "picture"));
      Require(result.png.starts_with(kPngSignature), ErrorKind::kFormat, "{}: is not a PNG picture",
              result.name);
    }
    if (entry.contains("song")) {
      result.midi = reader.Entry(Get<std::string>(entry, "song"));
      ParseMidi(result.midi, result.name);  // what is no song is told now
    }
    results.push_back(std::move(result));
  }
  return results;
}

// The notes of the layers are drawn from the song, whatever their pictures are.
void ReadSong(const Reader& reader, const std::string& name, Document& document) {
  auto song = std::make_shared<const MidiFile>(ParseMidi(reader.Entry(name), name));
  const RollGrid grid(*song, name);
  Require(document.height == kRollRows && document.width == grid.steps(), ErrorKind::kFormat,
          "the roll of {} is {} x {}, but the project {} x {}", name, grid.steps(), kRollRows,
          document.width, document.height);
  ReplaceSong(document, std::move(song));
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
  if (json.contains("song")) ReadSong(reader, Get<std::string>(json, "song"), document);
  if (json.contains("history")) project.results = ReadResults(reader, json.at("history"));
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
  const std::map<std::string, std::string> files = FilesOf(project);
  zip.Add(std::string(kSettings), Describe(project, files).dump(1));
  for (const Layer& layer : document.layers) {
    zip.Add(LayerFile(layer.info.id), Encode(layer.info.id, layer.pixels));
  }
  if (!document.empty()) zip.Add(std::string(kMask), Encode(0, document.mask));
  if (document.song != nullptr) zip.Add(std::string(kSong), SerializeMidi(*document.song));
  for (const auto& [name, bytes] : files) zip.Add(ResultFile(name), bytes);
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
