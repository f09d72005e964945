// What commands that make pictures share: jobs from prompts, files and flags, and their run.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/picture_writer.h"
#include "cli/request_options.h"

namespace gesso {

struct PictureOptions {
  std::vector<std::string> prompts;
  std::string prompt_file;
  std::string from;
  std::shared_ptr<RequestOptions> request = std::make_shared<RequestOptions>();
  WriterOptions writer;
  EngineOptions engine;
  const CLI::Option* preview_every = nullptr;

  // The options of requests, files and the engine.
  static void AddTo(CLI::App& command, const std::shared_ptr<PictureOptions>& options);
  // Makes the pictures. Returns the exit code.
  int Run() const;
};

}  // namespace gesso
