#include "ui/state/background.h"

#include <exception>
#include <utility>

namespace gesso::ui {

Background::Background(std::function<void()> on_change)
    : on_change_(std::move(on_change)),
      thread_([this](const std::stop_token& stop) { Work(stop); }) {}

Background::~Background() {
  thread_.request_stop();
  thread_.join();
}

void Background::Run(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void Background::Tell(News news) {
  const std::lock_guard lock(mutex_);
  news_.push_back(std::move(news));
}

std::vector<Background::News> Background::TakeNews() {
  const std::lock_guard lock(mutex_);
  return std::exchange(news_, {});
}

bool Background::is_idle() const {
  const std::lock_guard lock(mutex_);
  return tasks_.empty() && !is_working_;
}

void Background::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return tasks_.empty() && !is_working_; });
}

void Background::Work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, stop, [&] { return !tasks_.empty(); });
    if (tasks_.empty()) return;  // asked to stop, and nothing is left
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    is_working_ = true;
    lock.unlock();
    try {
      task();
    } catch (const std::exception& error) {
      Tell({error.what(), true});
    }
    task = nullptr;
    lock.lock();
    is_working_ = false;
    changed_.notify_all();
    if (on_change_) on_change_();
  }
}

}  // namespace gesso::ui
