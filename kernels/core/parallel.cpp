#include "kernels/core/parallel.h"

#include <omp.h>

#include <algorithm>

#include "kernels/core/error.h"

namespace gesso {

int NumThreads() { return omp_get_max_threads(); }

void SetNumThreads(int threads) {
  const int most =
      std::max(1024, 4 * omp_get_num_procs());  // far more, and the system has none left
  Require(threads >= 1 && threads <= most, ErrorKind::kUsage, "--threads: {} is not from 1 to {}",
          threads, most);
  omp_set_num_threads(threads);
}

}  // namespace gesso
