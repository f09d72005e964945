// The one pool of threads (OpenMP's). Results do not depend on the number of threads: either the
// borders of tasks do not, or each result is computed alike wherever they lie.
#pragma once

#include <cstdint>

namespace gesso {

int NumThreads();
void SetNumThreads(int threads);  // 1 to max(1024, 4 a core), or kUsage; before work starts

// Calls body(task) for task = 0 .. tasks-1, in any order, on all threads. `body` must not throw.
template <class Body>
void ParallelFor(int64_t tasks, const Body& body) {
  if (tasks == 1) {
    body(int64_t{0});
    return;
  }
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t task = 0; task < tasks; ++task) body(task);
}

// Calls body(begin, end) on consecutive ranges of `grain` items (the last may be shorter).
template <class Body>
void ParallelRange(int64_t items, int64_t grain, const Body& body) {
  const int64_t tasks = (items + grain - 1) / grain;
  ParallelFor(tasks, [&](int64_t task) {
    const int64_t begin = task * grain;
    const int64_t end = begin + grain < items ? begin + grain : items;
    body(begin, end);
  });
}

}  // namespace gesso
