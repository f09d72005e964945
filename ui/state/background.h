// One thread for files: what is slow to encode and write does not hold up the window.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace gesso::ui {

class Background {
 public:
  // `on_change` is called on the thread after each task.
  explicit Background(std::function<void()> on_change = nullptr);
  ~Background();  // after all tasks
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Tasks run one after the other. What one throws becomes news.
  void Run(std::function<void()> task);
  // Something for the person to read; on any thread.
  struct News {
    std::string text;
    bool is_error;
  };
  void Tell(News news);
  std::vector<News> TakeNews();
  bool is_idle() const;
  void Wait();  // until it is idle

 private:
  void Work(const std::stop_token& stop);

  std::function<void()> on_change_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> tasks_;
  bool is_working_ = false;
  std::vector<News> news_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace gesso::ui
