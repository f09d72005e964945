#include "cli/settings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "models/io/json.h"

namespace gesso {

namespace {

// Empty where no variable says where it is.
std::filesystem::path ConfigPath() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config != '\0') {
    return std::filesystem::path(config) / "gesso" / "config.json";
  }
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".config" / "gesso" / "config.json";
}

// Help and version flags have no value to set.
bool IsSetting(const CLI::Option* option) {
  return !option->get_lnames().empty() && option->get_lnames()[0] != "help";
}

bool IsOptionOfAnyCommand(const CLI::App& program, const std::string& name) {
  const auto commands = program.get_subcommands([](const CLI::App*) { return true; });
  return std::ranges::any_of(commands, [&](const CLI::App* command) {
    return command->get_option_no_throw("--" + name) != nullptr;
  });
}

std::string AsText(const Json& value, const std::string& name) {
  if (value.is_string()) return value.get<std::string>();
  Require(value.is_number() || value.is_boolean(), ErrorKind::kUsage,
          "{}: expected text, a number, true or false", name);
  return value.dump();
}

void Apply(CLI::Option& option, const std::string& text, const std::string& name) {
  try {
    option.run_callback_for_default()->default_val(text);
  } catch (const CLI::ParseError& error) {
    Fail(ErrorKind::kUsage, "{}: {}", name, error.what());
  } catch (Error& error) {
    error.AddContext(name);
    throw;
  }
}

void ApplyFile(CLI::App& command, const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return;
  const Json config = ReadJson(path);
  Require(config.is_object(), ErrorKind::kUsage, "{}: is not a JSON object", path.string());
  for (const auto& [key, value] : config.items()) {
    const std::string name = path.string() + ": '" + key + "'";
    if (CLI::Option* option = command.get_option_no_throw("--" + key); option != nullptr) {
      Apply(*option, AsText(value, name), name);
    } else {
      Require(IsOptionOfAnyCommand(*command.get_parent(), key), ErrorKind::kUsage,
              "{} is no option of any command", name);
    }
  }
}

void ApplyVariables(CLI::App& command) {
  for (CLI::Option* option : command.get_options(IsSetting)) {
    std::string name = "GESSO_" + option->get_lnames()[0];
    std::ranges::transform(name, name.begin(), [](unsigned char c) {
      return c == '-' ? '_' : static_cast<char>(std::toupper(c));
    });
    const char* text = std::getenv(name.c_str());
    if (text != nullptr && *text != '\0') Apply(*option, text, name);
  }
}

}  // namespace

void UseSettings(CLI::App& command, std::function<void()> done) {
  command.preparse_callback([&command, done = std::move(done)](size_t) {
    ApplyFile(command, ConfigPath());
    ApplyVariables(command);
    if (done) done();
  });
}

}  // namespace gesso
