#include "tests/lint/layering.h"

#include <algorithm>
#include <map>
#include <optional>
#include <regex>
#include <set>

#include "tests/lint/tree.h"

namespace gesso::lint {
namespace {

struct Rule {
  std::set<std::string, std::less<>> folders;         // that a file may include from
  std::set<std::string, std::less<>> files = {};      // single headers of other folders
  std::set<std::string, std::less<>> libraries = {};  // of kLibraries
};

// A layer is a folder of kernels/, or else the top folder.
const std::map<std::string, Rule, std::less<>> kRules = {
    {"kernels/core", {.folders = {"kernels/core"}}},
    {"kernels",
     {.folders = {"kernels", "kernels/core", "kernels/ref", "kernels/cpu", "kernels/cuda"}}},
    {"kernels/ref", {.folders = {"kernels", "kernels/core", "kernels/ref"}}},
    {"kernels/cpu",
     {.folders = {"kernels", "kernels/core", "kernels/ref", "kernels/cpu"},
      .libraries = {"oneDNN", "Highway"}}},
    {"kernels/cuda",
     {.folders = {"kernels", "kernels/core", "kernels/cuda"}, .libraries = {"CUDA"}}},
    {"models", {.folders = {"kernels", "kernels/core", "models"}}},
    {"samplers", {.folders = {"kernels", "kernels/core", "samplers"}}},
    {"cache", {.folders = {"kernels", "kernels/core", "cache"}, .files = {"models/hooks.h"}}},
    {"pipelines",
     {.folders = {"kernels", "kernels/core", "models", "samplers", "cache", "pipelines"},
      .libraries = {"FFmpeg"}}},
    {"tools", {.folders = {"tools"}}},  // kernels of training, which PyTorch loads
    {"cli",
     {.folders = {"kernels", "kernels/core", "samplers", "models", "cache", "pipelines", "cli"},
      .files = {"ui/run.h"}}},
    // The editor knows the engine, masks, and files of pictures and songs; no model, no sampler, no
    // tensor.
    {"ui",
     {.folders = {"ui"},
      .files = {"pipelines/engine.h", "pipelines/installed_models.h", "pipelines/mask/mask.h",
                "pipelines/mask/over.h", "pipelines/media/image_file.h",
                "pipelines/media/metadata.h", "pipelines/media/midi/piano_roll.h",
                "pipelines/media/midi/synthesiser.h", "pipelines/media/picture_format.h",
                "pipelines/media/suffix.h", "pipelines/media/zip_writer.h", "models/io/file_lock.h",
                "models/io/output_file.h", "models/io/zip_archive.h"},
      .libraries = {"window"}}},
};

// Headers of the libraries that only one layer may know, and how the libraries are called.
const std::vector<std::pair<std::regex, std::string>> kLibraries = {
    {std::regex("(oneapi/)?dnnl.*"), "oneDNN"},
    {std::regex("hwy/.*"), "Highway"},
    {std::regex("lib(av|sw)[a-z]+/.*"), "FFmpeg"},
    {std::regex("(GLFW/|imgui|backends/imgui_).*"), "window"},
    {std::regex("(cuda|cublas|cudnn|cub/|nvtx|nccl|mma\\.h).*"), "CUDA"},
};

std::string LayerOf(std::string_view path) {
  const std::string top(path.substr(0, path.find('/')));
  if (top != "kernels") return top;
  const size_t second = path.find('/', top.size() + 1);
  return second == std::string_view::npos ? top : std::string(path.substr(0, second));
}

// What is wrong with a file of `layer` including `header`; `quoted` if it does so with "".
std::optional<std::string> FaultOf(const std::string& layer, const Rule& rule,
                                   const std::string& header, bool quoted) {
  for (const auto& [pattern, library] : kLibraries) {
    if (!std::regex_match(header, pattern)) continue;
    if (rule.libraries.contains(library)) return std::nullopt;
    return layer + " must not include " + library + ": " + header;
  }
  const std::string target = LayerOf(header);
  if (rule.folders.contains(target) || rule.files.contains(header)) return std::nullopt;
  if (kRules.contains(target)) return layer + " must not include " + target + ": " + header;
  // Paths of ours start at the root, otherwise the arrow could not be read off the line.
  if (quoted) return "neither a path from the project's root nor a library's in <>: " + header;
  return std::nullopt;
}

}  // namespace

std::vector<std::string> LayeringFaults(std::string_view path, std::string_view text) {
  static const std::regex kInclude(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)re");
  const std::string layer = LayerOf(path);
  const auto rule = kRules.find(layer);
  std::vector<std::string> faults;
  if (rule == kRules.end()) {
    // A new top folder must say where it stands before it holds code.
    if (layer != "bench" && layer != "tests") {
      faults.push_back(std::string(path) + ": tests/lint/layering.cpp has no rule for this folder");
    }
    return faults;
  }
  const std::vector<std::string> lines = Lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    if (!std::regex_match(lines[i], match, kInclude)) continue;
    const std::optional<std::string> fault =
        FaultOf(layer, rule->second, match[2], match[1] == "\"");
    if (fault) faults.push_back(std::string(path) + ":" + std::to_string(i + 1) + ": " + *fault);
  }
  return faults;
}

}  // namespace gesso::lint
