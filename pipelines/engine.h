// The engine of programs with a window: one thread owns device, arena and models and works a queue
// of jobs off. Whoever asks never waits for it: orders are left behind, news are immutable
// snapshots.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/device.h"
#include "pipelines/image.h"
#include "pipelines/media/midi/midi_file.h"
#include "pipelines/picture_model.h"
#include "pipelines/request.h"

namespace gesso {

using JobId = uint64_t;

// A song, and what of it is composed again (ComposeAgain, pipelines/song_painter.h).
struct SongPart {
  std::shared_ptr<const MidiFile> song;
  std::shared_ptr<const Image> mask;  // kRollRows x the song's steps, grey
  std::string name;                   // for messages
};

struct Job {
  Request request;
  // Called on the engine's thread before the request is resolved, for what would keep a window
  // waiting, like writing the pictures that the request names. May throw.
  std::function<void(Request&)> prepare = nullptr;
  std::optional<SongPart> song = std::nullopt;  // or nothing: the request is for pictures
};

enum class JobState { kWaiting, kRunning, kDone, kFailed, kCancelled };

struct JobStatus {
  JobId id = 0;
  JobState state = JobState::kWaiting;
  Request request;                       // complete once the job runs
  double progress = 0;                   // of all its pictures, 0 .. 1
  double seconds = 0;                    // since it began to run
  std::shared_ptr<const Image> preview;  // of the newest pictures being made, one beside the other
  std::vector<std::shared_ptr<const Picture>> pictures;  // complete ones, also of a stopped job
  std::shared_ptr<const MidiFile> song;                  // of a job with a song, once it is done
  std::optional<Error> error;                            // of a job that failed
};

bool IsOver(JobState state);

// Jobs in the order of the queue: those that are over, as they ended; the one that runs; those that
// wait.
using EngineSnapshot = std::vector<std::shared_ptr<const JobStatus>>;

class Engine {
 public:
  // `on_change` is called on the engine's thread whenever there is a new snapshot, to wake a window
  // up; it must not call the engine.
  explicit Engine(Device device, std::function<void()> on_change = nullptr);
  // Stops the job that runs after its current step, and leaves the others undone.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // None of these waits for work. An id that is not in the snapshot has no effect: the job may have
  // ended meanwhile.
  JobId Submit(Job job);
  void Cancel(JobId id);  // one that runs ends after its current step
  // Puts a waiting job at place `index` of those that wait (0 = next).
  void Move(JobId id, size_t index);
  void Forget(JobId id);  // a job that is over leaves the snapshot
  // A job that is over gives up its pictures, and the memory that they take; all else stays.
  void ForgetPictures(JobId id);
  std::shared_ptr<const EngineSnapshot> snapshot() const;

  // Returns when no job waits or runs: for programs without a window, and for tests.
  void Wait() const;

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

// What a window offers to choose from.
struct Choice {
  std::string name;
  std::string help;
};
std::vector<Choice> ModelChoices();
std::vector<Choice> SamplerChoices();
std::vector<Choice> ScheduleChoices();
std::vector<Choice> CacheChoices();

}  // namespace gesso
