// gesso gui: the desktop program.
#include "cli/commands.h"
#include "cli/options.h"
#include "kernels/core/error.h"
#ifdef GESSO_HAS_GUI
#include "ui/run.h"
#endif

namespace gesso {

namespace {

struct GuiOptions {
  std::string picture;
  std::string script;
  EngineOptions engine;
};

int Run([[maybe_unused]] const GuiOptions& options) {
#ifdef GESSO_HAS_GUI
  options.engine.Apply();
  ui::Run(
      {.picture = options.picture, .script = options.script, .device = options.engine.Device()});
  return 0;
#else
  Fail(ErrorKind::kUnsupported,
       "this build has no window; install the packages of the group gui in packages.txt and build "
       "again (./gesso gui does both)");
#endif
}

}  // namespace

void AddGui(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<GuiOptions>();
  CLI::App* command = app.add_subcommand("gui", "Open the editor: draw a mask, paint again");
  command->add_option("picture", options->picture, "PNG or JPEG picture, or a project (.gesso)");
  command->add_option("--script", options->script,
                      "File of mouse, keyboard and actions to replay (see docs/gui.md)");
  options->engine.AddTo(*command);
  command->footer(
      "Examples:\n"
      "  gesso gui photo.png\n"
      "  gesso gui --script session.txt");
  command->callback([options, &chosen] { chosen = [options] { return Run(*options); }; });
}

}  // namespace gesso
