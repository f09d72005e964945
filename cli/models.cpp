// gesso models: what can be chosen by name: installed models, samplers, schedules, inpainters,
// cache policies.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cache/registry.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/settings.h"
#include "models/io/json.h"
#include "models/io/output_file.h"
#include "pipelines/installed_models.h"
#include "samplers/inpainting/registry.h"
#include "samplers/registry.h"

namespace gesso {

namespace {

struct Options {
  bool json = false;
};

template <class Info>
Json AsJson(const std::vector<Info>& table) {
  Json list = Json::array();
  for (const Info& info : table) {
    Json options = Json::array();
    for (const OptionInfo& option : info.options) {
      options.push_back({{"name", option.name},
                         {"default", option.default_value},
                         {"range", option.range},
                         {"help", option.help}});
    }
    list.push_back({{"name", info.name},
                    {"help", info.help},
                    {"paper", info.paper},
                    {"options", std::move(options)}});
  }
  return list;
}

template <class Info>
std::string AsText(const std::vector<Info>& table) {
  std::string text;
  for (const Info& info : table) {
    text += fmt::format("  {:<22}  {} ({})\n", info.name, info.help, info.paper);
    for (const OptionInfo& option : info.options) {
      text += fmt::format("    :{:<19}  {} ({}; {} if absent)\n", option.name, option.help,
                          option.range, option.default_value);
    }
  }
  return text;
}

int Run(const Options& options) {
  const std::vector<InstalledModel> models = InstalledModels();
  if (options.json) {
    Json list = Json::array();
    for (const InstalledModel& model : models) {
      list.push_back({{"name", model.name}, {"path", model.path.string()}});
    }
    PrintJson({{"models", std::move(list)},
               {"samplers", AsJson(Samplers())},
               {"schedules", AsJson(Schedules())},
               {"inpainters", AsJson(Inpainters())},
               {"cache_policies", AsJson(cache::Policies())}});
    return 0;
  }
  std::string text = "Models (-m)\n";
  for (const InstalledModel& model : models) {
    text += fmt::format("  {:<22}  {}\n", model.name, model.path.string());
  }
  if (models.empty()) {
    text += "  none; searched:\n";
    for (const auto& folder : ModelFolders()) text += "    " + folder.string() + "\n";
  }
  text += "\nSamplers (--sampling-method)\n" + AsText(Samplers());
  text += "\nSchedules (--scheduler)\n" + AsText(Schedules());
  text += "\nInpainters of diffusion models (--inpaint)\n" + AsText(Inpainters());
  text += "\nCache policies of next-scale models (--cache)\n" + AsText(cache::Policies());
  WriteStdout(text);
  return 0;
}

}  // namespace

void AddModels(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "models", "List installed models, samplers, schedules, inpainters, cache policies");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Examples:\n"
      "  gesso models\n"
      "  GESSO_MODELS=/data/models gesso models --json");
  UseSettings(*command);
  command->callback([options, &chosen] { chosen = [options] { return Run(*options); }; });
}

}  // namespace gesso
