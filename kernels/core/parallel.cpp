#include "kernels/core/parallel.h"

#include <omp.h>

#include "kernels/core/error.h"

namespace gesso {

int NumThreads() { return omp_get_max_threads(); }

void SetNumThreads(int threads) {
  Require(threads >= 1, ErrorKind::kUsage, "--threads: {} is not a positive number", threads);
  omp_set_num_threads(threads);
}

}  // namespace gesso
