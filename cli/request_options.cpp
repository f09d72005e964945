#include "cli/request_options.h"

#include <filesystem>
#include <string>
#include <string_view>

#include "models/io/printable.h"

namespace gesso {

namespace {

namespace fs = std::filesystem;

// `name`, as a path from here.
std::string FindBeside(const std::string& name, std::string_view field, const fs::path& from) {
  std::error_code error;
  if (fs::exists(name, error)) return name;
  const fs::path beside = from.parent_path() / name;
  Require(fs::exists(beside, error), ErrorKind::kIo,
          "{}: was made from '{}' ({}), which is missing here and beside it; name it by an option, "
          "or put it back",
          from.string(), Printable(name), field);
  return beside.string();
}

}  // namespace

Request MergeOverSaved(const Request& saved, const Request& over, const fs::path& from) {
  Request merged = Merge(saved, over);
  const auto find = [&](const std::string& field, const std::optional<std::string>& name,
                        const std::optional<std::string>& given) {
    if (name && !given) SetField(merged, field, FindBeside(*name, field, from), from.string());
  };
  find("init_image", merged.init_image, over.init_image);
  find("mask", merged.mask, over.mask);
  return merged;
}

void AddRequestOptions(CLI::App& command, const std::shared_ptr<RequestOptions>& options,
                       Medium medium) {
  VisitFields(options->flags, [&]<class T>(const FieldInfo& info, const std::optional<T>&) {
    if (info.flags.empty() || (info.medium != Medium::kAny && info.medium != medium)) return;
    const std::string field(info.name);
    const std::string flags(info.flags);
    const size_t begin = flags.find("--");
    const std::string name = flags.substr(begin, flags.find(',', begin) - begin);
    const auto set = [options, field, name](const std::string& text) {
      SetField(options->reads_flags ? options->flags : options->defaults, field, text, name);
    };
    if constexpr (std::is_same_v<T, bool>) {
      command.add_flag_function(
          flags, [set](int64_t count) { set(count > 0 ? "true" : "false"); },
          std::string(info.help));
    } else {
      command.add_option_function<std::string>(flags, set, std::string(info.help));
    }
  });
}

}  // namespace gesso
