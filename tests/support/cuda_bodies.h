// Runs the bodies of CUDA kernels on the CPU, by a single lane or by several, and compares them
// with ref.
#pragma once

#include <ucontext.h>

#include <array>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/cuda/device/vectors.cuh"
#include "tests/support/ops.h"

namespace gesso::testing_support {

struct OneLane {
  static int index() { return 0; }
  static int count() { return 1; }
  template <class T>
  static T Sum(T value) {
    return value;
  }
  static float Max(float value) { return value; }
  static float From(float value, int) { return value; }
  static void Sync() {}
};

// Several lanes, which take turns on one thread of the host: each works on its own from one
// exchange of numbers to the next, where all of them must meet.
class LaneGroup {
 public:
  class Lane {
   public:
    Lane(LaneGroup& all, int index) : all_(all), index_(index) {}
    int index() const { return index_; }
    int count() const { return all_.count(); }
    template <class T>
    T Sum(T value) const {
      return all_.Exchange(index_, value, [](T a, T b) { return a + b; });
    }
    float Max(float value) const {
      return all_.Exchange(index_, value, [](float a, float b) { return std::fmax(a, b); });
    }

   private:
    LaneGroup& all_;
    int index_;
  };

  explicit LaneGroup(int count) : turns_(static_cast<size_t>(count)) {}

  // body(lane) by every lane.
  void Run(std::function<void(const Lane& lane)> body) {
    body_ = std::move(body);
    running = this;
    for (Turn& turn : turns_) {
      turn.stack.resize(size_t{1} << 17);
      getcontext(&turn.state);
      turn.state.uc_stack.ss_sp = turn.stack.data();
      turn.state.uc_stack.ss_size = turn.stack.size();
      turn.state.uc_link = &host_;
      makecontext(&turn.state, Enter, 0);
    }
    while (!turns_.front().done) {
      for (current_ = 0; current_ < count(); ++current_) {
        EXPECT_FALSE(Current().done) << "lane " << current_ << " did not come to an exchange";
        if (!Current().done) swapcontext(&host_, &Current().state);
      }
    }
    for (const Turn& turn : turns_) EXPECT_TRUE(turn.done) << "a lane exchanges on its own";
    running = nullptr;
  }

 private:
  struct Turn {
    ucontext_t state;
    std::vector<char> stack;
    bool done = false;
    int exchanges = 0;
    std::array<uint64_t, 2> given{};  // at the last exchange and the one before
  };

  static void Enter() {
    running->body_(Lane(*running, running->current_));
    running->Current().done = true;
  }
  Turn& Current() { return turns_[static_cast<size_t>(current_)]; }
  int count() const { return static_cast<int>(turns_.size()); }

  template <class T, class Join>
  T Exchange(int index, T value, const Join& join) {
    static_assert(sizeof(T) <= sizeof(uint64_t));
    Turn& own = turns_[static_cast<size_t>(index)];
    const auto slot = static_cast<size_t>(own.exchanges++ % 2);
    std::memcpy(&own.given[slot], &value, sizeof(T));
    swapcontext(&own.state, &host_);
    T result{};
    for (size_t i = 0; i < turns_.size(); ++i) {
      T other;
      std::memcpy(&other, &turns_[i].given[slot], sizeof(T));
      result = i == 0 ? other : join(result, other);
    }
    return result;
  }

  static inline LaneGroup* running = nullptr;
  std::function<void(const Lane& lane)> body_;
  std::vector<Turn> turns_;
  ucontext_t host_{};
  int current_ = 0;
};

template <class Body>
void RunElements(int64_t count, const Body& body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

// Runs a body as a GPU would; whether that was in vectors.
template <class Body>
bool RunInVectors(int64_t count, const Body& body) {
  bool in_vectors = false;
  cuda::InVectors(count, body, [&](int64_t times, const auto& form) {
    in_vectors = times < count;
    RunElements(times, form);
  });
  return in_vectors;
}

template <class Body>
void RunRows(int64_t rows, const Body& body) {
  for (int64_t row = 0; row < rows; ++row) body(row, OneLane());
}

template <class Body>
void RunRowsByLanes(int64_t rows, int lanes, const Body& body) {
  LaneGroup(lanes).Run([&](const LaneGroup::Lane& lane) {
    for (int64_t row = 0; row < rows; ++row) body(row, lane);
  });
}

// Expects that run(args with an out of its own) writes what ref does to an equal one.
template <class Args, class Run>
void ExpectLikeRef(const OpTable<Args>& table, Args args, const Shape& out, DType dtype,
                   const Run& run) {
  Tensor want = RandomTensor(out, 99, dtype);  // some ops leave parts of out as they are
  Tensor got = RandomTensor(out, 99, dtype);
  args.out = want.mutable_view();
  RunImplementation(table, "ref", args);
  args.out = got.mutable_view();
  run(args);
  EXPECT_LT(RmsError(got, want), ToleranceOf(dtype));
}

}  // namespace gesso::testing_support
