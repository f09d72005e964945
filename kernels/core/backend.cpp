#include "kernels/core/backend.h"

namespace gesso {

namespace {

std::unique_ptr<Backend>& Current() {
  static std::unique_ptr<Backend> backend;
  return backend;
}

}  // namespace

Backend* CurrentBackend() { return Current().get(); }

void UseBackend(std::unique_ptr<Backend> backend) { Current() = std::move(backend); }

void WaitForDevice() {
  if (Backend* backend = CurrentBackend(); backend != nullptr) backend->Wait();
}

}  // namespace gesso
