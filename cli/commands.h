// The commands of the program. Each lives in the file named after it and adds its options to the
// command line; when it is the one that was asked for, it leaves its work in `chosen`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace gesso {

using Command = std::function<int()>;  // does the work and returns the exit code

void AddGenerate(CLI::App& app, Command& chosen);
void AddInpaint(CLI::App& app, Command& chosen);
void AddGui(CLI::App& app, Command& chosen);
void AddVideo(CLI::App& app, Command& chosen);
void AddVerify(CLI::App& app, Command& chosen);
void AddMetadata(CLI::App& app, Command& chosen);
void AddModels(CLI::App& app, Command& chosen);
void AddInfo(CLI::App& app, Command& chosen);
void AddBench(CLI::App& app, Command& chosen);
void AddConvert(CLI::App& app, Command& chosen);

}  // namespace gesso
