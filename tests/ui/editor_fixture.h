// An editor without a window, with an engine and a folder of its own.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "models/io/output_file.h"
#include "pipelines/media/image_file.h"
#include "tests/support/files.h"
#include "ui/state/editor.h"

namespace gesso::ui {

const std::string kModels = std::string(GESSO_SOURCE_DIR) + "/tests/data/models/";

inline Image Photo(int width, int height) {
  Image image{width, height, 3, {}};
  for (int i = 0; i < width * height * 3; ++i) {
    image.pixels.push_back(static_cast<uint8_t>(i * 7 % 251));
  }
  return image;
}

class EditorFixture : public ::testing::Test {
 protected:
  void WaitUntilDone() {
    do {
      editor_.Update();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } while (editor_.is_busy());
    editor_.Update();
  }

  // A picture that tiny-var can paint into, and a mask over its right half.
  void OpenWithMask() {
    WriteFile(photo_, EncodePng(Photo(8, 8), {}), true);
    editor_.Open(photo_);
    editor_.Edit("half", [](Document& document) {
      FillPolygon(document.mask, RectangleOutline({4, 0}, {8, 8}), 1, FillMode::kPaint);
    });
    editor_.request.model = kModels + "tiny-var";
    editor_.request.prompt = "a cat";
    editor_.request.seed = 5;
  }

  const TempFolder folder_;
  const std::filesystem::path photo_ = folder_.path() / "photo.png";
  Engine engine_{Device::kCpu};
  Background background_;
  Editor editor_{engine_, background_, folder_.path() / "state"};
};

}  // namespace gesso::ui
