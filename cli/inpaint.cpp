// gesso inpaint: a part of a picture painted anew, the rest kept to the byte.
#include "cli/commands.h"
#include "cli/picture_options.h"
#include "cli/settings.h"

namespace gesso {

namespace {

int Run(const PictureOptions& options, const std::string& picture) {
  RequestOptions& request = *options.request;
  SetField(request.flags, "init_image", picture, "picture");
  Require(request.flags.mask || request.defaults.mask, ErrorKind::kUsage,
          "--mask: needs a picture that is white where {} is to be painted anew", picture);
  return options.Run();
}

}  // namespace

void AddInpaint(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<PictureOptions>();
  auto picture = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("inpaint", "Paint a part of a picture anew");
  command->add_option("picture", *picture, "PNG or JPEG of a size that the model makes")
      ->required();
  command->add_option("prompt", options->prompts, "What the new part shows, one job each");
  PictureOptions::AddTo(*command, options);
  command->remove_option(command->get_option("--init-img"));
  command->footer(
      "Pixels where the mask is black stay as they are, to the byte. To paint beyond a picture's\n"
      "border, put it on a larger canvas and make the mask white around it.\n"
      "Examples:\n"
      "  gesso inpaint photo.png --mask hat.png -m var_d36.pth --class-label 515 -o out.png\n"
      "  gesso inpaint photo.png --mask sky.png -m infinity_2b_reg.pth \"a starry sky\"");
  UseSettings(*command, [options] { options->request->reads_flags = true; });
  command->callback([options, picture, &chosen] {
    chosen = [options, picture] { return Run(*options, *picture); };
  });
}

}  // namespace gesso
