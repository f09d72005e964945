#include "tests/lint/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "tests/lint/tree.h"

namespace gesso::lint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uintmax_t kMiB = 1024 * 1024;

// Tests of what belongs to the project need git; a source archive has no list of it.
class ProjectFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      files_ = ProjectFiles(SourceDir());
    } catch (const std::runtime_error& error) {
      GTEST_SKIP() << "needs a git checkout: " << error.what();
    }
    ASSERT_GT(files_.size(), 20u);
  }
  std::vector<std::string> files_;
};

TEST(LimitsTest, SourceFilesStayReadable) {
  const std::vector<std::string> files =
      FilesWithExtension(SourceDir(), {".h", ".cpp", ".cu", ".cuh", ".py"});
  ASSERT_GT(files.size(), 20u);
  EXPECT_THAT(LengthFaults(SourceDir(), files, kMaxLines), IsEmpty());
}

TEST_F(ProjectFilesTest, StaySmallEnoughToTravel) {
  const std::vector<SizeBudget> budgets = {
      {"assets/", 40 * kMiB}, {"tests/data/", 16 * kMiB}, {"", 60 * kMiB}};
  EXPECT_THAT(SizeFaults(SourceDir(), files_, budgets), IsEmpty());
}

TEST_F(ProjectFilesTest, NameNoMachinePath) {
  // Written in pieces, so that this file does not name them itself.
  std::vector<std::string> folders = {std::string("/home") + "/", std::string("/root") + "/",
                                      std::string("/Users") + "/"};
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] != '\0') folders.push_back(std::string(home) + "/");
  const std::string parent = SourceDir().parent_path().string();
  // Folders of every system are no secret of this machine.
  const std::vector<std::string> common = {"/", "/usr", "/usr/src", "/opt", "/tmp", "/var"};
  if (std::ranges::count(common, parent) == 0) folders.push_back(parent + "/");
  for (const std::string& file : files_) {
    const std::string text = ReadText(SourceDir() / file);
    if (IsBinary(text)) continue;
    EXPECT_THAT(MachinePathFaults(file, text, folders), IsEmpty());
  }
}

TEST(LimitsTest, CountsLines) {
  const TemporaryFolder folder;
  folder.Write("short.h", "a\nb\nc");
  folder.Write("long.h", "a\nb\nc\n\n");
  EXPECT_THAT(LengthFaults(folder.path(), {"short.h", "long.h"}, 3),
              ElementsAre("long.h: 4 lines (at most 3)"));
}

TEST(LimitsTest, AddsUpSizes) {
  const TemporaryFolder folder;
  folder.Write("assets/models/a.bin", "12345");
  folder.Write("assets/b.bin", "123");
  folder.Write("c.txt", "1");
  const std::vector<std::string> files = {"assets/models/a.bin", "assets/b.bin", "c.txt"};
  EXPECT_THAT(SizeFaults(folder.path(), files, {{"assets/", 8}, {"", 9}}), IsEmpty());
  EXPECT_THAT(SizeFaults(folder.path(), files, {{"assets/", 7}, {"", 8}}),
              ElementsAre("assets/: 8 bytes (at most 7)", "all files: 9 bytes (at most 8)"));
}

TEST(LimitsTest, FindsMachinePaths) {
  const std::vector<std::string> folders = {"/machine/"};
  EXPECT_THAT(MachinePathFaults("a.md", "one\nsee /machine/gesso\n(/machine/x)\n", folders),
              ElementsAre(HasSubstr("a.md:2: "), HasSubstr("a.md:3: ")));
  EXPECT_THAT(MachinePathFaults("a.md", "docs/machine/a ./machine/ /machines/\n", folders),
              IsEmpty());
  EXPECT_TRUE(IsBinary(std::string_view("a\0b", 3)));
  EXPECT_FALSE(IsBinary("text"));
}

TEST(LimitsTest, ProjectFilesFollowGit) {
  const TemporaryFolder folder;
  EXPECT_THROW(ProjectFiles(folder.path()), std::runtime_error);
  if (RunCommand("git init -q " + Quoted(folder.path())).status != 0) GTEST_SKIP() << "no git";
  folder.Write(".gitignore", "/build*/\n");
  folder.Write("a b.txt", "");
  folder.Write("build/x.o", "");
  EXPECT_THAT(ProjectFiles(folder.path()), ElementsAre(".gitignore", "a b.txt"));
}

}  // namespace
}  // namespace gesso::lint
