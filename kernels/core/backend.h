// A device beside the CPU: memory that both can reach, and waiting for its work. One backend is set
// up before the first tensor is made; from then on every tensor and arena lies in its memory, so
// that an op which the device cannot do yet runs on the CPU over the same addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace gesso {

// What to do where a device's memory is short.
constexpr std::string_view kLessMemory =
    "make a smaller picture or fewer at once, or round the model's weights to 8 or 4 bits "
    "(gesso convert)";

// Work of the device that can be done again without the host's part in it.
class Recording {
 public:
  virtual ~Recording() = default;

  // Does it again, after all that was given to the device before. Throws kDevice.
  virtual void Play() = 0;
};

// Who writes to memory first: where it had better lie when it is new.
enum class FirstUse { kHost, kDevice };

class Backend {
 public:
  virtual ~Backend() = default;

  // Memory with one address for host and device, aligned to 256 bytes, with any content. What the
  // device still does to the block's former owner is waited for where the host writes first.
  // Throws kMemory.
  virtual std::shared_ptr<void> Allocate(size_t bytes, FirstUse first) = 0;
  // Until everything given to the device is done. Throws kDevice for what went wrong in it.
  virtual void Wait() = 0;
  // Its name, memory and versions, for `gesso info --devices`.
  virtual std::string Describe() const = 0;

  // Copies from the host to memory of the backend, in the order of the device's work and without
  // waiting for it; `from` may change at once. For a few numbers that change from step to step.
  virtual void Write(void* to, const void* from, size_t bytes) = 0;
  // Copies from memory of the backend to the host's own, after all that was given to the device.
  virtual void Read(void* to, const void* from, size_t bytes) = 0;
  // Says that memory of the backend was filled and will only be read from now on: weights, which go
  // to the device while the host reads on.
  virtual void Upload(const void* memory, size_t bytes) = 0;
  // Bytes of the device's own memory that are free.
  virtual size_t FreeBytes() const = 0;

  // What is given to the device from here to the end of the recording is not done but recorded.
  virtual void BeginRecording() = 0;
  // Throws kDevice where the device cannot do it again.
  virtual std::unique_ptr<Recording> EndRecording() = 0;
  virtual void DropRecording() noexcept = 0;
  // How often memory that recorded work uses beside tensors has moved: older recordings are void.
  virtual int64_t ScratchMoves() const = 0;

  // Whether passes are recorded at all (replay.h).
  bool records() const { return records_; }
  void set_records(bool records) { records_ = records; }
  // What kept passes from being recorded, for people.
  const std::set<std::string>& obstacles() const { return obstacles_; }
  void AddObstacle(const std::string& what) { obstacles_.insert(what); }
  // How many passes were played from recordings.
  int64_t plays() const { return plays_; }
  void CountPlay() { ++plays_; }

 private:
  bool records_ = true;
  int64_t plays_ = 0;
  std::set<std::string> obstacles_;
};

// The one in use, or null: CPU only.
Backend* CurrentBackend();
// Called once at the start of the program, or of a test.
void UseBackend(std::unique_ptr<Backend> backend);

// Waits for the backend in use, if there is one: before the host looks at a device's results.
void WaitForDevice();
// The same before an op that runs on the CPU.
void WaitForDeviceBefore(std::string_view op);

// Sees what this thread does, as long as it lives, that a recording could not do again: waiting for
// the device, reserving memory, writing to it. One at a time.
class ObstacleWatch {
 public:
  ObstacleWatch();
  ~ObstacleWatch();
  ObstacleWatch(const ObstacleWatch&) = delete;
  ObstacleWatch& operator=(const ObstacleWatch&) = delete;

  const std::string& first() const { return first_; }  // empty: nothing

  // Tells the watch of this thread, if there is one.
  static void Tell(std::string_view what, std::string_view of = {});

 private:
  std::string first_;
};

}  // namespace gesso
