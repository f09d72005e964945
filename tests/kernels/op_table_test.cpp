// --kernel knows the op of every table.
#include "kernels/core/op_table.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "kernels/ops.h"
#include "tests/support/files.h"

namespace gesso {
namespace {

// Tables that the front doors define.
size_t CountTables() {
  const std::regex table(R"(OpTable<\w+> kTable\()");
  size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(GESSO_SOURCE_DIR) / "kernels")) {
    if (entry.path().extension() != ".cpp") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const std::string source = text.str();
    count += static_cast<size_t>(std::distance(
        std::sregex_iterator(source.begin(), source.end(), table), std::sregex_iterator()));
  }
  return count;
}

TEST(OpTable, AllAreListedOnce) {
  std::set<std::string_view> names;
  for (const OpNames& op : Ops()) names.insert(op.op);
  EXPECT_EQ(names.size(), CountTables()) << "a table is missing in kernels/ops.cpp";
  EXPECT_EQ(names.size(), Ops().size());
}

TEST(OpTable, KnowsTheNamesOfImplementations) {
  EXPECT_NO_THROW(RequireImplementation("linear", "ref"));
  ExpectError(ErrorKind::kUsage, {"softmax has no implementation 'select'", "highway, ", ", ref)"},
              [] { RequireImplementation("gumbel_softmax", "select"); });
  ExpectError(ErrorKind::kUsage, {"no op 'softmax'", "linear, "},
              [] { RequireImplementation("softmax", "ref"); });
  ExpectError(ErrorKind::kUsage, {"no implementation ''"},
              [] { RequireImplementation("linear", ""); });
}

}  // namespace
}  // namespace gesso
