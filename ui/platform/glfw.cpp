// GLFW's window with OpenGL 3, through ImGui's own backends for both.
#define GLFW_INCLUDE_GLEXT
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>
#include <backends/imgui_impl_opengl3.h>
#include <imgui.h>

#include <set>

#include "ui/platform/platform.h"

namespace gesso::ui {

namespace {

std::string last_error;  // GLFW reports it before the call that failed returns

void RememberError(int /*code*/, const char* text) { last_error = text; }

class GlfwPlatform : public Platform {
 public:
  GlfwPlatform(int width, int height, const std::string& title) {
    glfwSetErrorCallback(RememberError);
    Require(glfwInit() == GLFW_TRUE, ErrorKind::kDevice,
            "there is no display to open a window on ({}); without one, gesso generate and gesso "
            "inpaint do the same work",
            last_error);
    try {
      Open(width, height, title);
    } catch (...) {
      glfwTerminate();
      throw;
    }
  }

  ~GlfwPlatform() override {
    ImGui_ImplOpenGL3_Shutdown();
    ImGui_ImplGlfw_Shutdown();
    glfwDestroyWindow(window_);
    glfwTerminate();
  }

  void BeginFrame(double seconds) override {
    pressed_.clear();
    const std::vector<Release> releases = std::exchange(deferred_, {});
    for (const Release& release : releases) {
      ImGui_ImplGlfw_KeyCallback(window_, release.key, release.scancode, GLFW_RELEASE,
                                 release.modifiers);
    }
    if (seconds > 0 && releases.empty()) {
      glfwWaitEventsTimeout(seconds);
    } else {
      glfwPollEvents();
    }
    ImGui_ImplOpenGL3_NewFrame();
    ImGui_ImplGlfw_NewFrame();
  }

  void EndFrame() override {
    Draw();
    glfwSwapBuffers(window_);
  }

  void Wake() override { glfwPostEmptyEvent(); }

  bool CloseRequested() override {
    const bool asked = glfwWindowShouldClose(window_) == GLFW_TRUE;
    glfwSetWindowShouldClose(window_, GLFW_FALSE);
    return asked;
  }

  float scale() const override {
    float x = 1;
    float y = 1;
    glfwGetWindowContentScale(window_, &x, &y);
    return x;
  }

  void SetTitle(const std::string& title) override { glfwSetWindowTitle(window_, title.c_str()); }

  std::vector<std::string> TakeDroppedFiles() override { return std::exchange(dropped_, {}); }

  Texture MakeTexture() override {
    GLuint texture = 0;
    glGenTextures(1, &texture);
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
    return texture;
  }

  void Upload(Texture texture, int width, int height, const uint8_t* rgba) override {
    glBindTexture(GL_TEXTURE_2D, texture);
    glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, rgba);
    generate_mipmap_(GL_TEXTURE_2D);
  }

  void SetSharp(Texture texture, bool sharp) override {
    glBindTexture(GL_TEXTURE_2D, texture);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, sharp ? GL_NEAREST : GL_LINEAR);
  }

  void Drop(Texture texture) override { glDeleteTextures(1, &texture); }

  void UploadFonts() override {
    ImGui_ImplOpenGL3_DestroyFontsTexture();
    ImGui_ImplOpenGL3_CreateFontsTexture();
  }

  Image Screenshot() override {
    Image image;
    glfwGetFramebufferSize(window_, &image.width, &image.height);
    const size_t row = static_cast<size_t>(image.width) * 3;
    std::vector<uint8_t> upside_down(row * static_cast<size_t>(image.height));
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    Draw();  // what is shown may be read, or not; this is the same once more
    glReadBuffer(GL_BACK);
    glReadPixels(0, 0, image.width, image.height, GL_RGB, GL_UNSIGNED_BYTE, upside_down.data());
    for (int y = image.height; y > 0; --y) {
      const auto from = upside_down.begin() + static_cast<std::ptrdiff_t>(row) * (y - 1);
      image.pixels.insert(image.pixels.end(), from, from + static_cast<std::ptrdiff_t>(row));
    }
    return image;
  }

 private:
  struct Release {
    int key;
    int scancode;
    int modifiers;
  };

  // ImGui looks at keys once a frame. One that was let go in the frame in which it was pressed is
  // held until the next, and so is what is let go after it.
  static void OnKey(GLFWwindow* window, int key, int scancode, int action, int modifiers) {
    auto* self = static_cast<GlfwPlatform*>(glfwGetWindowUserPointer(window));
    if (action == GLFW_RELEASE && (self->pressed_.contains(key) || !self->deferred_.empty())) {
      self->deferred_.push_back({key, scancode, modifiers});
      return;
    }
    if (action == GLFW_PRESS) self->pressed_.insert(key);
    ImGui_ImplGlfw_KeyCallback(window, key, scancode, action, modifiers);
  }

  void Draw() {
    int width = 0;
    int height = 0;
    glfwGetFramebufferSize(window_, &width, &height);
    glViewport(0, 0, width, height);
    glClearColor(0, 0, 0, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  }

  void Open(int width, int height, const std::string& title) {
    glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 0);
    glfwWindowHint(GLFW_SCALE_TO_MONITOR, GLFW_TRUE);
    window_ = glfwCreateWindow(width, height, title.c_str(), nullptr, nullptr);
    Require(window_ != nullptr, ErrorKind::kDevice,
            "the window needs OpenGL 3.0 or newer ({}); LIBGL_ALWAYS_SOFTWARE=1 draws without the "
            "graphics card",
            last_error);
    glfwMakeContextCurrent(window_);
    glfwSwapInterval(1);
    generate_mipmap_ =
        reinterpret_cast<PFNGLGENERATEMIPMAPPROC>(glfwGetProcAddress("glGenerateMipmap"));
    const bool works = generate_mipmap_ != nullptr && ImGui_ImplGlfw_InitForOpenGL(window_, true) &&
                       ImGui_ImplOpenGL3_Init("#version 130") &&
                       ImGui_ImplOpenGL3_CreateDeviceObjects();
    Require(works, ErrorKind::kDevice, "the OpenGL of this machine cannot draw the window ({})",
            last_error);
    glfwSetWindowUserPointer(window_, this);
    glfwSetKeyCallback(window_, OnKey);
    glfwSetDropCallback(window_, [](GLFWwindow* window, int count, const char** paths) {
      auto* self = static_cast<GlfwPlatform*>(glfwGetWindowUserPointer(window));
      self->dropped_.assign(paths, paths + count);
    });
  }

  GLFWwindow* window_ = nullptr;
  PFNGLGENERATEMIPMAPPROC generate_mipmap_ = nullptr;
  std::vector<std::string> dropped_;
  std::set<int> pressed_;          // keys, in this frame
  std::vector<Release> deferred_;  // to the next frame
};

}  // namespace

std::unique_ptr<Platform> OpenWindow(int width, int height, const std::string& title) {
  return std::make_unique<GlfwPlatform>(width, height, title);
}

}  // namespace gesso::ui
