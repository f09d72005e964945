#include "pipelines/media/video_module.h"

#include <dlfcn.h>
#include <spdlog/spdlog.h>

namespace gesso {

namespace {

const VideoModule* Load() {
#ifdef GESSO_VIDEO_MODULE
  // Found by the program's run path (CMakeLists.txt), and never unloaded: FFmpeg's libraries start
  // threads of their own.
  void* library = dlopen(GESSO_VIDEO_MODULE, RTLD_NOW | RTLD_LOCAL);
  void* entry = library == nullptr ? nullptr : dlsym(library, "GessoVideoModule");
  if (entry != nullptr) return reinterpret_cast<decltype(&GessoVideoModule)>(entry)();
  spdlog::warn("video: {}", dlerror());
#endif
  return nullptr;
}

}  // namespace

const VideoModule* LoadVideoModule() {
  static const VideoModule* const kModule = Load();
  return kModule;
}

}  // namespace gesso
