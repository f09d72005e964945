// Passes that come again and again: the device records one of them and plays it from then on, which
// spares the host giving it hundreds of small pieces of work one by one.
#pragma once

#include <array>
#include <compare>
#include <map>
#include <memory>
#include <string>

#include "kernels/core/context.h"
#include "kernels/core/error.h"

namespace gesso {

// What one user of a Replayer does is the same work at each call, but for the numbers in memory. It
// is told apart by the addresses that it reads from, writes to and takes its arena's memory from,
// and by numbers that the user gives it: the first time it is done as it comes, which chooses
// algorithms and grows scratch memory; the second time it is recorded; after that the recording is
// played. Results are the same bits.
//
// Work in which the host takes part cannot be recorded and is always done as it comes: the first
// pass finds that out. So is work of which the device can make no recording, which the second pass
// finds out: then work is begun in vain once, and done afterwards. Backend::obstacles() says why.
class Replayer {
 public:
  using Numbers = std::array<int64_t, 3>;

  // Whether there is a device on which anything is recorded: what recordings read then has to stay
  // where it is.
  static bool Records();

  // Does work(), that of the numbers `which`, which computes `out` from `in`, on ctx.device.
  // Nothing is recorded on a CPU, while ops are timed or a tap looks on, or where
  // Backend::records() is false. Recordings do not outlive what they read; `work` must not change
  // `in`, and what the host notes in it is not noted again where a recording is played.
  template <class Work>
  void Run(const Context& ctx, ConstView in, View out, const Work& work,
           const Numbers& which = {}) {
    Backend* const backend = BackendFor(ctx);
    if (backend == nullptr) return work();
    Pass& pass = PassAt({in.data, out.data, ctx.arena->Top(), which}, *backend);
    switch (pass.state) {
      case State::kNew: {
        const ObstacleWatch watch;
        work();
        return Learn(pass, watch, *backend);
      }
      case State::kWarm:
        if (Record(pass, *backend, work)) break;
        return work();
      case State::kRecorded:
        break;
      case State::kRefused:
        return work();
    }
    pass.recording->Play();
    backend->CountPlay();
  }

  // Before what recordings read is replaced by something at other addresses.
  void Forget() { passes_.clear(); }

 private:
  enum class State { kNew, kWarm, kRecorded, kRefused };

  struct Key {
    const void* in;
    const void* out;
    const void* arena;
    Numbers which;

    auto operator<=>(const Key&) const = default;
  };

  struct Pass {
    State state = State::kNew;
    std::unique_ptr<Recording> recording = nullptr;
    int64_t scratch_moves = 0;  // as it was recorded
  };

  // Drops what was recorded where an Error passes through.
  class RecordingScope {
   public:
    explicit RecordingScope(Backend& backend) : backend_(backend) { backend_.BeginRecording(); }
    ~RecordingScope() {
      if (!ended_) backend_.DropRecording();
    }
    RecordingScope(const RecordingScope&) = delete;
    RecordingScope& operator=(const RecordingScope&) = delete;
    std::unique_ptr<Recording> End() {
      ended_ = true;
      return backend_.EndRecording();
    }

   private:
    Backend& backend_;
    bool ended_ = false;
  };

  // Null where nothing is to be recorded.
  static Backend* BackendFor(const Context& ctx);
  Pass& PassAt(const Key& key, const Backend& backend);
  static void Learn(Pass& pass, const ObstacleWatch& watch, Backend& backend);

  // Whether the device made a recording of work(); nothing of it is done.
  template <class Work>
  static bool Record(Pass& pass, Backend& backend, const Work& work) {
    bool of_work = true;
    try {
      RecordingScope scope(backend);
      work();
      of_work = false;
      pass = {State::kRecorded, scope.End(), backend.ScratchMoves()};
      return true;
    } catch (const Error& error) {
      // Others of work() would come without a recording as well.
      const bool of_device =
          error.kind() == ErrorKind::kDevice || error.kind() == ErrorKind::kInternal;
      if (of_work && !of_device) throw;
      Refuse(pass, error.what(), backend);
      return false;
    }
  }
  static void Refuse(Pass& pass, const std::string& why, Backend& backend);

  std::map<Key, Pass> passes_;
};

}  // namespace gesso
