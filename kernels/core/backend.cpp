#include "kernels/core/backend.h"

#include "kernels/core/error.h"

namespace gesso {

namespace {

std::unique_ptr<Backend>& Current() {
  static std::unique_ptr<Backend> backend;
  return backend;
}

thread_local ObstacleWatch* watch = nullptr;

void Wait(std::string_view why, std::string_view op) {
  Backend* const backend = CurrentBackend();
  if (backend == nullptr) return;
  ObstacleWatch::Tell(why, op);
  backend->Wait();
}

}  // namespace

Backend* CurrentBackend() { return Current().get(); }

void UseBackend(std::unique_ptr<Backend> backend) { Current() = std::move(backend); }

void WaitForDevice() { Wait("the host looks at a result", {}); }

void WaitForDeviceBefore(std::string_view op) { Wait("the CPU does ", op); }

ObstacleWatch::ObstacleWatch() {
  CHECK(watch == nullptr);
  watch = this;
}

ObstacleWatch::~ObstacleWatch() { watch = nullptr; }

void ObstacleWatch::Tell(std::string_view what, std::string_view of) {
  if (watch == nullptr || !watch->first_.empty()) return;
  watch->first_ = std::string(what) + std::string(of);
}

}  // namespace gesso
