// The search for the nearest entry of a codebook, in double like ref: the codes are cut into
// slices, the best of each slice is found by a thread of its own, and then the best of those.
#pragma once

#include "kernels/cuda/device/numbers.cuh"
#include "kernels/nearest_code.h"

namespace gesso::cuda {

struct NearestInSlice {
  double distance;  // up to the vector's own square
  int32_t code;
};

struct NearestCodeSearch {
  static constexpr int64_t kThreads = 1 << 16;  // that keep a GPU busy

  const float *z, *codes, *bias;
  int64_t rows, count, depth;
  int64_t slices;

  // values: the codes [V, D].
  NearestCodeSearch(const NearestCodeArgs& args, ConstView values)
      : z(static_cast<const float*>(args.z.data)),
        codes(static_cast<const float*>(values.data)),
        bias(static_cast<const float*>(args.codebook->bias.view().data)),
        rows(args.z.shape[0]),
        count(values.shape[0]),
        depth(values.shape[1]),
        slices(SlicesOf(rows, count)) {}

  static int64_t SlicesOf(int64_t rows, int64_t count) {
    const int64_t wanted = (kThreads + rows - 1) / rows;
    return wanted < count ? wanted : count;
  }

  GESSO_BOTH double Distance(int64_t row, int64_t code) const {
    double product = 0;
    for (int64_t d = 0; d < depth; ++d) {
      product +=
          static_cast<double>(z[row * depth + d]) * static_cast<double>(codes[code * depth + d]);
    }
    return -product - static_cast<double>(bias[code]);
  }

  // Of the first code's slice; any other begins with none. So does a distance that is no number.
  GESSO_BOTH NearestInSlice Search(int64_t row, int64_t slice) const {
    const int64_t first = count * slice / slices;
    const int64_t end = count * (slice + 1) / slices;
    NearestInSlice nearest{slice == 0 ? Distance(row, 0) : static_cast<double>(INFINITY), 0};
    for (int64_t code = slice == 0 ? 1 : first; code < end; ++code) {
      const double distance = Distance(row, code);
      if (distance < nearest.distance) nearest = {distance, static_cast<int32_t>(code)};
    }
    return nearest;
  }
};

// i = slice * R + row: neighbouring threads read the same codes.
struct NearestInSliceElement {
  NearestCodeSearch search;
  NearestInSlice* found;  // [slices, R]

  GESSO_BOTH void operator()(int64_t i) const {
    found[i] = search.Search(i % search.rows, i / search.rows);
  }
};

// i = row
struct NearestCodeElement {
  const NearestInSlice* found;
  int32_t* tokens;
  int64_t rows, slices;

  GESSO_BOTH void operator()(int64_t i) const {
    NearestInSlice nearest = found[i];
    for (int64_t slice = 1; slice < slices; ++slice) {
      const NearestInSlice& other = found[slice * rows + i];
      if (other.distance < nearest.distance) nearest = other;
    }
    tokens[i] = nearest.code;
  }
};

}  // namespace gesso::cuda
