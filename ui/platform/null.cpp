#include <imgui.h>

#include "ui/platform/keys.h"
#include "ui/platform/platform.h"

namespace gesso::ui {

namespace {

class NullPlatform : public Platform {
 public:
  NullPlatform(int width, int height) : width_(width), height_(height) {
    ImGui::GetIO().BackendPlatformName = "gesso_null";
    MapKeys();
  }

  void BeginFrame(double) override {
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = {static_cast<float>(width_), static_cast<float>(height_)};
    io.DeltaTime = 1.0f / 60;
  }
  void EndFrame() override {}
  void Wake() override {}
  bool CloseRequested() override { return false; }
  float scale() const override { return 1; }
  void SetTitle(const std::string&) override {}
  std::vector<std::string> TakeDroppedFiles() override { return {}; }
  Texture MakeTexture() override { return ++last_texture_; }
  void Upload(Texture, int, int, const uint8_t*) override {}
  void SetSharp(Texture, bool) override {}
  void Drop(Texture) override {}
  void UploadFonts() override {
    unsigned char* pixels = nullptr;
    int width = 0;
    int height = 0;
    ImGui::GetIO().Fonts->GetTexDataAsRGBA32(&pixels, &width, &height);  // builds it
  }
  Image Screenshot() override {
    Fail(ErrorKind::kUnsupported, "a picture of the window needs a window");
  }

 private:
  int width_;
  int height_;
  Texture last_texture_ = 0;
};

}  // namespace

std::unique_ptr<Platform> MakeNullPlatform(int width, int height) {
  return std::make_unique<NullPlatform>(width, height);
}

}  // namespace gesso::ui
