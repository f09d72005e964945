#include "pipelines/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>
#include <stop_token>
#include <thread>

#include "cache/registry.h"
#include "pipelines/generator.h"
#include "pipelines/installed_models.h"
#include "pipelines/media/image_file.h"
#include "pipelines/song_painter.h"
#include "samplers/registry.h"

namespace gesso {

namespace {

using Clock = std::chrono::steady_clock;

// Previews take at most this share of the time, and come no faster than an eye follows.
constexpr double kPreviewShare = 0.1;
constexpr double kPreviewSeconds = 0.1;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

bool IsOver(JobState state) { return state != JobState::kWaiting && state != JobState::kRunning; }

// Everything but `generator` is guarded by `mutex`; statuses are replaced, never changed.
class Engine::Worker {
 public:
  Worker(Device device, std::function<void()> on_change)
      : generator_(device),
        on_change_(std::move(on_change)),
        thread_([this](const std::stop_token& stop) { Work(stop); }) {}

  ~Worker() {
    thread_.request_stop();
    {
      const std::lock_guard lock(mutex_);
      if (running_) running_->stop.request_stop();
    }
    changed_.notify_all();
    thread_.join();
  }

  JobId Submit(Job job) {
    const std::lock_guard lock(mutex_);
    auto entry = std::make_shared<Entry>();
    entry->status.id = ++last_id_;
    entry->status.request = job.request;
    entry->song = std::move(job.song);
    entry->prepare = std::move(job.prepare);
    waiting_.push_back(std::move(entry));
    Publish();
    return last_id_;
  }

  void Cancel(JobId id) {
    const std::lock_guard lock(mutex_);
    if (running_ && running_->status.id == id) running_->stop.request_stop();
    const auto found = FindWaiting(id);
    if (found == waiting_.end()) return;
    (*found)->status.state = JobState::kCancelled;
    over_.push_back(Freeze((*found)->status));
    waiting_.erase(found);
    Publish();
  }

  void Move(JobId id, size_t index) {
    const std::lock_guard lock(mutex_);
    const auto found = FindWaiting(id);
    if (found == waiting_.end()) return;
    const std::shared_ptr<Entry> entry = *found;
    waiting_.erase(found);
    const auto at = static_cast<std::ptrdiff_t>(std::min(index, waiting_.size()));
    waiting_.insert(waiting_.begin() + at, entry);
    Publish();
  }

  void Forget(JobId id) {
    const std::lock_guard lock(mutex_);
    std::erase_if(over_, [&](const auto& status) { return status->id == id; });
    Publish();
  }

  void ForgetPictures(JobId id) {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find_if(over_, [&](const auto& status) { return status->id == id; });
    if (found == over_.end() || (*found)->pictures.empty()) return;
    JobStatus status = **found;
    status.pictures.clear();
    *found = Freeze(status);
    Publish();
  }

  std::shared_ptr<const EngineSnapshot> snapshot() const {
    const std::lock_guard lock(mutex_);
    return snapshot_;
  }

  void Wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_.empty() && running_ == nullptr; });
  }

 private:
  struct Entry {
    JobStatus status;
    std::optional<SongPart> song;
    std::function<void(Request&)> prepare;
    std::stop_source stop;
    Clock::time_point start;
  };

  // Follows one job and looks at its stop token once a step.
  class Follower : public GenerateObserver {
   public:
    Follower(Worker& worker, Entry& entry) : worker_(worker), entry_(entry) {}

    void OnStep(const StepReport& step) override {
      if (entry_.stop.stop_requested()) Fail(ErrorKind::kCancelled, "stopped");
      const auto total = static_cast<double>(*entry_.status.request.batch_count);
      const double pictures =
          static_cast<double>(step.first) + step.progress * static_cast<double>(step.count);
      std::shared_ptr<const Image> preview = entry_.status.preview;
      if (SecondsSince(shown_) > pause_) {
        const Clock::time_point start = Clock::now();
        const std::vector<Image> images = step.preview();
        preview = std::make_shared<Image>(images.size() == 1 ? images[0] : MakeSheet(images));
        pause_ = std::max(kPreviewSeconds, SecondsSince(start) / kPreviewShare);
        shown_ = Clock::now();
      }
      worker_.Change(entry_, [&](JobStatus& status) {
        status.progress = pictures / total;
        status.preview = std::move(preview);
      });
    }

    void OnPicture(const Picture& picture) override {
      worker_.Change(entry_, [&](JobStatus& status) {
        status.pictures.push_back(std::make_shared<Picture>(picture));
        status.progress = static_cast<double>(status.pictures.size()) /
                          static_cast<double>(*status.request.batch_count);
      });
      if (entry_.stop.stop_requested()) Fail(ErrorKind::kCancelled, "stopped");
    }

   private:
    Worker& worker_;
    Entry& entry_;
    Clock::time_point shown_ = Clock::now();
    double pause_ = kPreviewSeconds;
  };

  static std::shared_ptr<const JobStatus> Freeze(const JobStatus& status) {
    return std::make_shared<JobStatus>(status);
  }

  std::deque<std::shared_ptr<Entry>>::iterator FindWaiting(JobId id) {
    return std::ranges::find_if(waiting_,
                                [&](const auto& entry) { return entry->status.id == id; });
  }

  // With the mutex held.
  void Publish() {
    auto snapshot = std::make_shared<EngineSnapshot>(over_);
    if (running_) snapshot->push_back(Freeze(running_->status));
    for (const auto& entry : waiting_) snapshot->push_back(Freeze(entry->status));
    snapshot_ = std::move(snapshot);
    changed_.notify_all();
    if (on_change_) on_change_();
  }

  template <class Body>
  void Change(Entry& entry, const Body& body) {
    const std::lock_guard lock(mutex_);
    body(entry.status);
    entry.status.seconds = SecondsSince(entry.start);
    Publish();
  }

  void Work(const std::stop_token& stop) {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop.stop_requested() || !waiting_.empty(); });
      if (stop.stop_requested()) return;
      running_ = waiting_.front();
      waiting_.pop_front();
      running_->status.state = JobState::kRunning;
      running_->start = Clock::now();
      Publish();
      const std::shared_ptr<Entry> entry = running_;
      lock.unlock();
      std::optional<Error> error = Run(*entry);
      lock.lock();
      JobStatus& status = entry->status;
      status.state = JobState::kDone;
      if (error) {
        const bool cancelled = error->kind() == ErrorKind::kCancelled;
        status.state = cancelled ? JobState::kCancelled : JobState::kFailed;
        if (!cancelled) status.error = std::move(error);
      }
      status.preview = nullptr;
      status.seconds = SecondsSince(entry->start);
      over_.push_back(Freeze(status));
      running_ = nullptr;
      Publish();
    }
  }

  // The job's work; an error is its result.
  std::optional<Error> Run(Entry& entry) {
    try {
      Request request = entry.status.request;
      if (entry.prepare) entry.prepare(request);
      if (entry.song) {
        Compose(entry, request);
        return std::nullopt;
      }
      request = generator_.Resolve(request);
      Change(entry, [&](JobStatus& status) { status.request = request; });
      if (entry.stop.stop_requested()) Fail(ErrorKind::kCancelled, "stopped");
      Follower follower(*this, entry);
      generator_.Run(request, follower);
    } catch (const Error& error) {
      return error;
    } catch (const std::bad_alloc&) {
      return Error(ErrorKind::kMemory, "out of memory");
    } catch (const std::exception& error) {
      return Error(ErrorKind::kInternal, error.what());
    }
    return std::nullopt;
  }

  // The progress is that of one window of the song after the other.
  void Compose(Entry& entry, Request request) {
    if (!request.batch_count) request.batch_count = 1;
    Change(entry, [&](JobStatus& status) { status.request = request; });
    Follower follower(*this, entry);
    ComposedSong composed = ComposeAgain(generator_, *entry.song->song, *entry.song->mask, request,
                                         follower, entry.song->name);
    auto song = std::make_shared<const MidiFile>(std::move(composed.song));
    Change(entry, [&](JobStatus& status) {
      status.song = std::move(song);
      status.request = composed.request;
      status.progress = 1;
    });
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Generator generator_;
  std::function<void()> on_change_;
  JobId last_id_ = 0;
  std::vector<std::shared_ptr<const JobStatus>> over_;
  std::shared_ptr<Entry> running_;
  std::deque<std::shared_ptr<Entry>> waiting_;
  std::shared_ptr<const EngineSnapshot> snapshot_ = std::make_shared<EngineSnapshot>();
  std::jthread thread_;  // last: it uses all of the above
};

Engine::Engine(Device device, std::function<void()> on_change)
    : worker_(std::make_unique<Worker>(device, std::move(on_change))) {}

Engine::~Engine() = default;

JobId Engine::Submit(Job job) { return worker_->Submit(std::move(job)); }
void Engine::Cancel(JobId id) { worker_->Cancel(id); }
void Engine::Move(JobId id, size_t index) { worker_->Move(id, index); }
void Engine::Forget(JobId id) { worker_->Forget(id); }
void Engine::ForgetPictures(JobId id) { worker_->ForgetPictures(id); }
std::shared_ptr<const EngineSnapshot> Engine::snapshot() const { return worker_->snapshot(); }
void Engine::Wait() const { worker_->Wait(); }

namespace {

template <class Table>
std::vector<Choice> NamesOf(const Table& table) {
  std::vector<Choice> choices;
  for (const auto& entry : table) choices.push_back({entry.name, entry.help});
  return choices;
}

}  // namespace

std::vector<Choice> ModelChoices() {
  std::vector<Choice> choices;
  for (const InstalledModel& model : InstalledModels()) {
    choices.push_back({model.name, model.path.string()});
  }
  return choices;
}

std::vector<Choice> SamplerChoices() { return NamesOf(Samplers()); }
std::vector<Choice> ScheduleChoices() { return NamesOf(Schedules()); }
std::vector<Choice> CacheChoices() { return NamesOf(cache::Policies()); }

}  // namespace gesso
