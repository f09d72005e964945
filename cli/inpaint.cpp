// gesso inpaint: a part of a picture painted anew, the rest kept to the byte.
#include "cli/commands.h"
#include "cli/inpaint_song.h"
#include "cli/picture_options.h"
#include "cli/settings.h"
#include "pipelines/mask/edited_picture.h"
#include "pipelines/media/midi/midi_file.h"

namespace gesso {

namespace {

int Run(const PictureOptions& options, const std::string& picture, const std::string& bars) {
  if (IsMidiName(picture)) return InpaintSong(options, picture, bars);
  Require(bars.empty(), ErrorKind::kUsage, "--bars: {} is no song (.mid)", picture);
  RequestOptions& request = *options.request;
  SetField(request.flags, "init_image", picture, "picture");
  Require(IsEdit(Merge(request.defaults, request.flags)), ErrorKind::kUsage,
          "--mask: needs a picture that is white where {} is to be painted anew; or --outpaint the "
          "pixels to paint beyond its border",
          picture);
  return options.Run();
}

}  // namespace

void AddInpaint(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<PictureOptions>();
  auto picture = std::make_shared<std::string>();
  auto bars = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("inpaint", "Paint a part of a picture anew");
  command
      ->add_option("picture", *picture,
                   "Picture of a size that the model makes, or with --only-masked of any; or a "
                   "song (.mid)")
      ->required();
  command->add_option("prompt", options->prompts, "What the new part shows, one job each");
  command->add_option("--bars", *bars,
                      "Of a song: the bars to compose again, 3 or 3-4 (docs/music.md)");
  PictureOptions::AddTo(*command, options);
  command->remove_option(command->get_option("--init-img"));
  command->footer(
      "Pixels where the mask is black stay as they are, to the byte; grey ones change a little.\n"
      "The mask is inverted, grown, blurred, cut out and scaled, in this order "
      "(docs/inpainting.md)."
      "\n"
      "Examples:\n"
      "  gesso inpaint photo.png --mask hat.png \"a top hat\" -o out.png\n"
      "  gesso inpaint photo.jpg --mask hat.png --only-masked --mask-blur 4 \"a top hat\"\n"
      "  gesso inpaint photo.png --mask hat.png --inpaint repaint:jump_length=5 \"a top hat\"\n"
      "  gesso inpaint photo.png --outpaint 64,0,64,0 \"two green frogs\" -o wide.png\n"
      "  gesso inpaint photo.png --mask hat.png -m var_d36.pth --class-label 515 -o out.png\n"
      "  gesso inpaint song.mid --bars 5-6 -o refilled.mid");
  UseSettings(*command, [options] { options->request->reads_flags = true; });
  command->callback([options, picture, bars, &chosen] {
    chosen = [options, picture, bars] { return Run(*options, *picture, *bars); };
  });
}

}  // namespace gesso
