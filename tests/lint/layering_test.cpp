#include "tests/lint/layering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lint/tree.h"

namespace gesso::lint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(LayeringTest, TheTreeFollowsTheDesign) {
  const std::vector<std::string> files =
      FilesWithExtension(SourceDir(), {".h", ".cpp", ".cu", ".cuh"});
  ASSERT_GT(files.size(), 20u);
  for (const std::string& file : files) {
    EXPECT_THAT(LayeringFaults(file, ReadText(SourceDir() / file)), IsEmpty());
  }
}

TEST(LayeringTest, AllowsTheArrowsOfTheDesign) {
  EXPECT_THAT(LayeringFaults("kernels/cpu/norm.cpp",
                             "#include \"kernels/norm.h\"\n#include \"hwy/highway.h\"\n"),
              IsEmpty());
  EXPECT_THAT(LayeringFaults("models/hdit/model.cpp",
                             "#include \"kernels/gemm.h\"\n#include \"models/nn/linear.h\"\n"
                             "#include \"kernels/core/tensor.h\"\n#include <vector>\n"),
              IsEmpty());
  EXPECT_THAT(LayeringFaults("cache/policy.h", "#include \"models/hooks.h\"\n"), IsEmpty());
  EXPECT_THAT(LayeringFaults("pipelines/engine.cpp", "#include \"samplers/registry.h\"\n"),
              IsEmpty());
  EXPECT_THAT(LayeringFaults("ui/panels/queue.cpp",
                             "#include <imgui.h>\n#include \"pipelines/engine.h\"\n"),
              IsEmpty());
  EXPECT_THAT(LayeringFaults("tests/kernels/norm_test.cpp", "#include \"cli/main.h\"\n"),
              IsEmpty());
}

TEST(LayeringTest, RefusesEveryOtherArrow) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"kernels/core/shape.h", "kernels/gemm.h"},
      {"kernels/gemm.cpp", "models/nn/linear.h"},
      {"kernels/ref/gemm.cpp", "kernels/cpu/gemm.h"},
      {"models/hdit/model.cpp", "samplers/denoiser.h"},
      {"models/hdit/model.cpp", "cache/policy.h"},
      {"models/hdit/model.cpp", "kernels/cpu/gemm.h"},
      {"samplers/diffusion/euler.cpp", "models/hdit/model.h"},
      {"cache/step/fora.cpp", "models/hdit/model.h"},
      {"pipelines/engine.cpp", "cli/progress.h"},
      {"pipelines/engine.cpp", "kernels/ref/gemm.h"},
      {"ui/panels/history.cpp", "models/registry.h"},
      {"cli/main.cpp", "ui/app.h"},
  };
  for (const auto& [file, header] : wrong) {
    EXPECT_THAT(LayeringFaults(file, "// first line\n  #  include \"" + header + "\"  // why\n"),
                ElementsAre(HasSubstr(file + ":2: ")))
        << file << " -> " << header;
  }
}

TEST(LayeringTest, KeepsLibrariesBehindTheBackends) {
  EXPECT_THAT(LayeringFaults("kernels/gemm.h", "#include <oneapi/dnnl/dnnl.hpp>\n"),
              ElementsAre(HasSubstr("oneDNN")));
  EXPECT_THAT(LayeringFaults("kernels/norm.cpp", "#include \"hwy/highway.h\"\n"),
              ElementsAre(HasSubstr("Highway")));
  EXPECT_THAT(LayeringFaults("kernels/cpu/norm.cpp", "#include <cuda_runtime.h>\n"),
              ElementsAre(HasSubstr("CUDA")));
  EXPECT_THAT(LayeringFaults("models/nn/linear.cpp", "#include <dnnl.hpp>\n"),
              ElementsAre(HasSubstr("oneDNN")));
  EXPECT_THAT(LayeringFaults("cli/video.cpp", "#include <libavcodec/avcodec.h>\n"),
              ElementsAre(HasSubstr("FFmpeg")));
  EXPECT_THAT(LayeringFaults("cli/gui.cpp", "#include <imgui.h>\n"),
              ElementsAre(HasSubstr("window")));
  EXPECT_THAT(LayeringFaults("pipelines/engine.cpp", "#include <GLFW/glfw3.h>\n"),
              ElementsAre(HasSubstr("window")));
}

TEST(LayeringTest, RefusesRelativePathsAndUnknownFolders) {
  EXPECT_THAT(LayeringFaults("models/hdit/model.cpp", "#include \"config.h\"\n"),
              ElementsAre(HasSubstr("from the project's root")));
  EXPECT_THAT(LayeringFaults("extras/thing.cpp", "int main() {}\n"),
              ElementsAre(HasSubstr("has no rule for this folder")));
}

}  // namespace
}  // namespace gesso::lint
