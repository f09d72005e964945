#include "cli/request_options.h"

#include <string>

namespace gesso {

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
