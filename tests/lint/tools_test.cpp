// clang-format and clang-tidy 14 as judges: the tree is formatted, and both catch planted faults.
// clang-tidy over the whole tree takes minutes and is a test of its own (label tidy).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lint/tree.h"

namespace gesso::lint {
namespace {

using ::testing::HasSubstr;

std::string ClangFormat() { return FindTool({"clang-format-14", "clang-format"}, "version 14."); }

CommandResult CheckFormat(const std::string& tool, const std::filesystem::path& root,
                          const std::vector<std::string>& files) {
  std::string command = "cd " + Quoted(root) + " && " + tool + " --dry-run --Werror --style=file";
  for (const std::string& file : files) command += " " + Quoted(file);
  return RunCommand(command);
}

TEST(FormatTest, TheTreeIsFormatted) {
  const std::string tool = ClangFormat();
  if (tool.empty()) GTEST_SKIP() << "clang-format 14 is not installed";
  const std::vector<std::string> files =
      FilesWithExtension(SourceDir(), {".h", ".cpp", ".cu", ".cuh"});
  ASSERT_GT(files.size(), 20u);
  const CommandResult result = CheckFormat(tool, SourceDir(), files);
  EXPECT_EQ(result.status, 0) << result.output << "\nto mend it: clang-format-14 -i FILE";
}

TEST(FormatTest, CatchesAnUnformattedFile) {
  const std::string tool = ClangFormat();
  if (tool.empty()) GTEST_SKIP() << "clang-format 14 is not installed";
  const TemporaryFolder folder;
  folder.Write(".clang-format", ReadText(SourceDir() / ".clang-format"));
  folder.Write("good.cpp", "int main() { return 0; }\n");
  folder.Write("bad.cpp", "int main( )\n{\n\treturn 0;\n}\n");
  EXPECT_EQ(CheckFormat(tool, folder.path(), {"good.cpp"}).status, 0);
  const CommandResult bad = CheckFormat(tool, folder.path(), {"good.cpp", "bad.cpp"});
  EXPECT_NE(bad.status, 0);
  EXPECT_THAT(bad.output, HasSubstr("bad.cpp"));
}

TEST(TidyTest, CatchesPlantedFaults) {
  const std::string tool = FindTool({"clang-tidy-14", "clang-tidy"}, "version 14.");
  if (tool.empty()) GTEST_SKIP() << "clang-tidy 14 is not installed";
  const TemporaryFolder folder;
  folder.Write(".clang-tidy", ReadText(SourceDir() / ".clang-tidy"));
  folder.Write("good.cpp",
               "int Twice(int value) { return 2 * value; }\n"
               "int main() { return Twice(0); }\n");
  folder.Write("bad.cpp",
               "#include <string>\n#include <utility>\n"
               "int badly_named(std::string text) {\n"
               "  const std::string other = std::move(text);\n"
               "  return static_cast<int>(text.size() + other.size());\n}\n");
  const auto tidy = [&](const std::string& file) {
    return RunCommand("cd " + Quoted(folder.path()) + " && " + tool + " --quiet " + file +
                      " -- -std=c++20");
  };
  const CommandResult good = tidy("good.cpp");
  EXPECT_EQ(good.status, 0) << good.output;
  const CommandResult bad = tidy("bad.cpp");
  EXPECT_NE(bad.status, 0);
  EXPECT_THAT(bad.output, HasSubstr("bugprone-use-after-move"));
  EXPECT_THAT(bad.output, HasSubstr("readability-identifier-naming"));
}

}  // namespace
}  // namespace gesso::lint
