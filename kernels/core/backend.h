// A device beside the CPU: memory that both can reach, and waiting for its work. One backend is set
// up before the first tensor is made; from then on every tensor and arena lies in its memory, so
// that an op which the device cannot do yet runs on the CPU over the same addresses.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace gesso {

class Backend {
 public:
  virtual ~Backend() = default;

  // Memory with one address for host and device, aligned to 256 bytes. Throws kMemory.
  virtual std::shared_ptr<void> Allocate(size_t bytes) = 0;
  // Until everything given to the device is done. Throws kDevice for what went wrong in it.
  virtual void Wait() = 0;
  // Its name, memory and versions, for `gesso info --devices`.
  virtual std::string Describe() const = 0;
};

// The one in use, or null: CPU only.
Backend* CurrentBackend();
// Called once at the start of the program, or of a test.
void UseBackend(std::unique_ptr<Backend> backend);

// Waits for the backend in use, if there is one: before the host looks at a device's results.
void WaitForDevice();

}  // namespace gesso
