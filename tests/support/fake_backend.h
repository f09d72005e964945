// A device that is none: its memory is the host's, and what is launched on it is a function, called
// at once or, while work is recorded, kept.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/core/backend.h"
#include "kernels/core/error.h"

namespace gesso::testing_support {

using Work = std::vector<std::function<void()>>;

struct FakeRecording : Recording {
  Work work;

  explicit FakeRecording(Work w) : work(std::move(w)) {}
  void Play() override {
    for (const auto& one : work) one();
  }
};

class FakeBackend : public Backend {
 public:
  std::shared_ptr<void> Allocate(size_t bytes, FirstUse) override {
    constexpr size_t kAlignment = 256;
    ++allocations;
    return {std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment), std::free};
  }
  void Wait() override { CHECK(!recording); }
  std::string Describe() const override { return "fake"; }
  void Write(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void Read(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void Upload(const void*, size_t) override {}
  size_t FreeBytes() const override { return size_t{1} << 30; }
  void BeginRecording() override {
    recording = true;
    recorded.clear();
  }
  std::unique_ptr<Recording> EndRecording() override {
    recording = false;
    if (refuses) Fail(*refuses, "preparing recorded work");
    ++recordings;
    return std::make_unique<FakeRecording>(recorded);
  }
  void DropRecording() noexcept override {
    recording = false;
    ++drops;
  }
  int64_t ScratchMoves() const override { return scratch_moves; }

  // As a kernel that is launched.
  void Launch(const std::function<void()>& one) { recording ? recorded.push_back(one) : one(); }

  bool recording = false;
  std::optional<ErrorKind> refuses;  // to make a recording
  Work recorded;
  int recordings = 0, drops = 0;
  int allocations = 0;
  int64_t scratch_moves = 0;
};

// Calls act(backend) on a fake device; nothing made in it may outlive the call.
template <class Act>
void WithFakeBackend(const Act& act) {
  if (CurrentBackend() != nullptr) GTEST_SKIP() << "a GPU is in use";
  const struct End {
    ~End() { UseBackend(nullptr); }
  } end;
  auto made = std::make_unique<FakeBackend>();
  FakeBackend& backend = *made;
  UseBackend(std::move(made));
  act(backend);
}

}  // namespace gesso::testing_support
