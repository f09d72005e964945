// gesso convert: a model in fewer bits.
#include "pipelines/convert.h"

#include <fmt/ranges.h>

#include <memory>
#include <ranges>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "models/io/output_file.h"
#include "pipelines/installed_models.h"

namespace gesso {

namespace {

struct Options {
  std::string model;
  std::string output;
  std::string type;
  ConvertOptions convert;
  EngineOptions engine;
};

int Run(Options options) {
  options.engine.Apply();
  const std::optional<LowBit> type = LowBitNamed(options.type);
  Require(
      type.has_value(), ErrorKind::kUsage, "--type: '{}' is none of {}", options.type,
      fmt::join(kLowBits | std::views::transform([](LowBit each) { return NameOf(each); }), ", "));
  options.convert.type = *type;
  const ConvertReport report =
      ConvertModel(FindModel(options.model), options.output, options.convert);
  WriteStdout(fmt::format(
      "{}: {}, {} matrices of {} weights in {:.1f} MiB ({:.1f}% of bfloat16), rounded by {:.2e}\n",
      options.output, options.type, report.matrices, report.weights,
      static_cast<double>(report.bytes) / (1 << 20), 100 * report.ShareOfBF16(), report.Error()));
  return 0;
}

}  // namespace

void AddConvert(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("convert", "Round a model's weights to fewer bits");
  command->add_option("model", options->model, "Installed model, model folder or weights file")
      ->required();
  command->add_option("output", options->output, "Folder or .safetensors file to write")
      ->required();
  command
      ->add_option("--type", options->type,
                   "q8, q4, f8: weights alone; w8a8, w4a8, f8a8: inputs of products too, to 8 bits")
      ->required();
  command
      ->add_option("--calibrate", options->convert.calibrate,
                   "Pictures to fix the scales of a Diffusion Mamba's inputs by; 0: one a row")
      ->check(CLI::Range(int64_t{0}, int64_t{100000}))
      ->capture_default_str();
  const CLI::Option* seed =
      command->add_option("-s,--seed", options->convert.seed, "Seed of these pictures")
          ->capture_default_str();
  command->add_flag("--overwrite", options->convert.overwrite, "Replace a file");
  options->engine.AddTo(*command);
  command->footer(
      "Examples:\n"
      "  gesso convert demo-hdit demo-q8 --type q8\n"
      "  gesso convert dim_huge.safetensors dim_w8a8.safetensors --type w8a8 --calibrate 16");
  UseSettings(*command);
  command->callback([options, seed, &chosen] {
    RequireEffect(*seed, options->convert.calibrate > 0, "without --calibrate");
    chosen = [options] { return Run(*options); };
  });
}

}  // namespace gesso
