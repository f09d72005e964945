// What is recorded and played again, decided on the host: with a backend that is a list of
// functions.
#include "kernels/core/replay.h"

#include <algorithm>
#include <functional>

#include "kernels/core/host_copy.h"
#include "kernels/reduce.h"
#include "tests/support/fake_backend.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using testing_support::FakeBackend;

class ReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    if (CurrentBackend() != nullptr) GTEST_SKIP() << "a GPU is in use";
    auto made = std::make_unique<FakeBackend>();
    backend = made.get();
    UseBackend(std::move(made));
    arena = std::make_unique<Arena>(Device::kCuda, 4096);
    ctx.device = Device::kCuda;
    ctx.arena = arena.get();
    x = Tensor({4}, DType::kF32);
    out = Tensor({4}, DType::kF32);
  }
  void TearDown() override {
    if (backend == nullptr) return;
    arena = nullptr;
    x = Tensor();
    out = Tensor();
    replayer.Forget();
    UseBackend(nullptr);
  }

  // out = x + 1, by the device.
  void Run() { RunInto(out.mutable_view()); }
  void RunInto(View to) {
    replayer.Run(ctx, x, to, [&] {
      ++host_runs;
      const auto* from = static_cast<const float*>(x.view().data);
      auto* into = static_cast<float*>(to.data);
      backend->Launch([=] { into[0] = from[0] + 1; });
    });
  }

  FakeBackend* backend = nullptr;
  std::unique_ptr<Arena> arena;
  Context ctx;
  Tensor x, out;
  Replayer replayer;
  int host_runs = 0;
};

TEST_F(ReplayTest, RecordsTheSecondPassAndPlaysIt) {
  for (int i = 0; i < 5; ++i) {
    x.MutableData<float>()[0] = static_cast<float>(i);
    Run();
    EXPECT_EQ(out.Data<float>()[0], static_cast<float>(i + 1)) << i;
  }
  EXPECT_EQ(host_runs, 2);
  EXPECT_EQ(backend->recordings, 1);
  EXPECT_EQ(backend->plays(), 4);
  EXPECT_TRUE(backend->obstacles().empty());
}

TEST_F(ReplayTest, AHostCopyOfADevicesResultIsTheHosts) {
  x.MutableData<float>()[2] = 5;
  const HostCopy copy(x);
  x.MutableData<float>()[2] = 6;
  EXPECT_EQ(copy.view().device, Device::kCpu);
  EXPECT_NE(copy.view().data, x.view().data);
  EXPECT_EQ(copy.view().Data<float>()[2], 5);
}

TEST_F(ReplayTest, TellsBuffersAndPlacesInTheArenaApart) {
  Tensor other({4}, DType::kF32);
  for (int i = 0; i < 3; ++i) {
    Run();
    RunInto(other.mutable_view());
  }
  EXPECT_EQ(host_runs, 4);
  EXPECT_EQ(backend->recordings, 2);
  const Arena::Scope scope(*arena);
  arena->Alloc({8}, DType::kF32);
  Run();
  EXPECT_EQ(host_runs, 5);
}

TEST_F(ReplayTest, TellsWorkOverTheSameBuffersApartByItsNumbers) {
  for (int i = 0; i < 3; ++i) {
    for (const int64_t which : {1, 2}) {
      replayer.Run(ctx, x, out.mutable_view(),
                   [&] {
                     auto* into = static_cast<float*>(out.mutable_view().data);
                     backend->Launch([=] { into[0] = static_cast<float>(which); });
                   },
                   {0, which, 0});
      EXPECT_EQ(out.Data<float>()[0], static_cast<float>(which)) << i;
    }
  }
  EXPECT_EQ(backend->recordings, 2);
  EXPECT_EQ(backend->plays(), 4);
}

TEST_F(ReplayTest, RecordsAnewAfterScratchMemoryMoved) {
  for (int i = 0; i < 3; ++i) Run();
  ++backend->scratch_moves;
  for (int i = 0; i < 3; ++i) Run();
  EXPECT_EQ(backend->recordings, 2);
  EXPECT_EQ(host_runs, 3);
}

TEST_F(ReplayTest, ForgetsOnRequest) {
  for (int i = 0; i < 3; ++i) Run();
  replayer.Forget();
  Run();
  EXPECT_EQ(host_runs, 3);
  EXPECT_EQ(backend->recordings, 1);
}

TEST_F(ReplayTest, RefusesWorkInWhichTheHostTakesPart) {
  const std::pair<const char*, std::function<void()>> obstacles[] = {
      {"looks at a result", [&] { x.Data<float>(); }},
      {"memory is reserved", [] { Tensor({3}, DType::kF32); }},
      {"writes numbers", [&] { CopyFromHost("fourfourfourfour", x.mutable_view()); }},
      {"the CPU does scaled_error", [&] {
         ForceImplementation("scaled_error", "ref");  // as where a device has none
         double rms = 0;
         ScaledError(ctx,
                     {.a = x, .b = x, .reference = x, .absolute = 1, .relative = 0, .rms = &rms});
         ForceImplementation("scaled_error", "");
       }}};
  for (const auto& [why, obstacle] : obstacles) {
    Replayer own;
    int runs = 0;
    for (int i = 0; i < 3; ++i) {
      own.Run(ctx, x, out.mutable_view(), [&, &act = obstacle] {
        ++runs;
        act();
      });
    }
    EXPECT_EQ(runs, 3) << why;
    const auto& found = backend->obstacles();
    EXPECT_TRUE(std::ranges::any_of(found, [&, &part = why](const std::string& text) {
      return text.find(part) != std::string::npos;
    })) << why;
  }
  EXPECT_EQ(backend->recordings, 0);
}

TEST_F(ReplayTest, DoesNothingWhereSomeoneLooksOnOrNothingIsToBeRecorded) {
  Profiler profiler;
  ctx.profiler = &profiler;
  for (int i = 0; i < 3; ++i) Run();
  ctx.profiler = nullptr;
  backend->set_records(false);
  for (int i = 0; i < 3; ++i) Run();
  backend->set_records(true);
  ctx.device = Device::kCpu;
  for (int i = 0; i < 3; ++i) Run();
  EXPECT_EQ(host_runs, 9);
  EXPECT_EQ(backend->recordings, 0);
}

TEST_F(ReplayTest, DoesAsItComesWhatFailsOnlyWhileItIsRecorded) {
  const auto run = [&] {
    replayer.Run(ctx, x, out.mutable_view(), [&] {
      ++host_runs;
      if (backend->recording) Fail(ErrorKind::kDevice, "not permitted while recording");
    });
  };
  for (int i = 0; i < 3; ++i) run();
  EXPECT_EQ(host_runs, 4);
  EXPECT_EQ(backend->drops, 1);
  EXPECT_EQ(backend->recordings, 0);
  EXPECT_TRUE(backend->obstacles().contains("not permitted while recording"));
}

TEST_F(ReplayTest, DropsARecordingThatFails) {
  Run();
  bool fails = true;
  const auto run = [&] {
    replayer.Run(ctx, x, out.mutable_view(), [&] {
      if (fails) Fail(ErrorKind::kMemory, "full");
    });
  };
  testing_support::ExpectError(ErrorKind::kMemory, "full", run);
  EXPECT_EQ(backend->drops, 1);
  EXPECT_FALSE(backend->recording);
  fails = false;
  EXPECT_NO_THROW(run());
  EXPECT_EQ(backend->recordings, 1);
}

TEST_F(ReplayTest, DoesAsItComesWhatTheDeviceCannotRecord) {
  // Also where only the recording has no room.
  for (const ErrorKind kind : {ErrorKind::kDevice, ErrorKind::kMemory}) {
    backend->refuses = kind;
    replayer.Forget();
    host_runs = 0;
    for (int i = 0; i < 4; ++i) {
      x.MutableData<float>()[0] = static_cast<float>(i);
      Run();
      EXPECT_EQ(out.Data<float>()[0], static_cast<float>(i + 1)) << i;
    }
    EXPECT_EQ(host_runs, 5);  // the second pass twice: recorded in vain, then done
  }
  EXPECT_EQ(backend->recordings, 0);
  EXPECT_EQ(backend->drops, 0);
  ASSERT_EQ(backend->obstacles().size(), 1);
  EXPECT_NE(backend->obstacles().begin()->find("preparing recorded work"), std::string::npos);
}

TEST_F(ReplayTest, KeepsABoundedNumberOfRecordings) {
  constexpr int64_t kMany = 256;
  Tensor many({kMany}, DType::kF32);
  for (int64_t i = 0; i < kMany; ++i) {
    for (int pass = 0; pass < 2; ++pass) RunInto(many.mutable_view().Slice(0, i, i + 1));
  }
  RunInto(many.mutable_view().Slice(0, kMany - 1, kMany));
  EXPECT_EQ(host_runs, 2 * kMany);
  RunInto(many.mutable_view().Slice(0, 0, 1));  // was let go
  EXPECT_EQ(host_runs, 2 * kMany + 1);
}

}  // namespace
}  // namespace gesso
