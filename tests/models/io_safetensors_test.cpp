#include "models/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace gesso {
namespace {
TEST(Safetensors, ReadsWhatItWrote) {
  const auto path = std::filesystem::temp_directory_path() / "gesso_io_quick.safetensors";
  Tensor x(Shape{2, 3}, DType::kF32);
  for (int i = 0; i < 6; ++i) x.MutableData<float>()[i] = 0.5f * static_cast<float>(i);
  Tensor y(Shape{3}, DType::kU8);
  y.MutableData<uint8_t>()[1] = 7;
  WriteSafetensors(path, {{"y", y}, {"x", x}}, {{"a", "b"}});
  const Weights w = OpenWeights(path);
  EXPECT_EQ(w.At("x").shape(), (Shape{2, 3}));
  EXPECT_EQ(w.At("x").Data<float>()[5], 2.5f);
  EXPECT_EQ(w.At("y").Data<uint8_t>()[1], 7);
  EXPECT_EQ(w.metadata.at("a"), "b");
  std::filesystem::remove(path);
}
TEST(Safetensors, ReadsEveryParityCase) {
  const std::filesystem::path folder = GESSO_PARITY_DIR;
  if (folder.empty()) GTEST_SKIP() << "no folder of parity cases (GESSO_PARITY_DIR)";
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".safetensors") continue;
    EXPECT_FALSE(OpenWeights(file.path()).tensors.empty());
    ++count;
  }
  EXPECT_GT(count, 0);
}
}  // namespace
}  // namespace gesso
