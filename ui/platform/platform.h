// What the editor needs of a window, so that it runs without one in tests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipelines/engine.h"

namespace gesso::ui {

// A picture on the graphics card; 0 is none.
using Texture = uint32_t;

class Platform {
 public:
  virtual ~Platform() = default;

  // Takes in what happened, after waiting up to `seconds` for it, and tells ImGui.
  virtual void BeginFrame(double seconds) = 0;
  // Draws what ImGui has gathered, and shows it.
  virtual void EndFrame() = 0;
  // Ends the wait of BeginFrame; on any thread.
  virtual void Wake() = 0;
  virtual bool CloseRequested() = 0;  // since the last call
  virtual float scale() const = 0;    // screen pixels a unit of length
  virtual void SetTitle(const std::string& title) = 0;
  virtual std::vector<std::string> TakeDroppedFiles() = 0;

  virtual Texture MakeTexture() = 0;
  // rgba [height][width][4].
  virtual void Upload(Texture texture, int width, int height, const uint8_t* rgba) = 0;
  // Enlarged pixels are squares, or flow into each other.
  virtual void SetSharp(Texture texture, bool sharp) = 0;
  virtual void Drop(Texture texture) = 0;
  virtual void UploadFonts() = 0;  // ImGui's atlas was made anew
  virtual Image Screenshot() = 0;  // of what EndFrame has drawn last
};

// A window of the desktop. Throws kDevice where there is no display or no OpenGL 3, saying what to
// do. One at a time.
std::unique_ptr<Platform> OpenWindow(int width, int height, const std::string& title);

// No window; textures are counted, not drawn.
std::unique_ptr<Platform> MakeNullPlatform(int width, int height);

}  // namespace gesso::ui
