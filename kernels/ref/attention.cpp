#include "kernels/ref/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

// A key and its value, in elements behind k.data and v.data.
struct Key {
  int64_t k;
  int64_t v;
  double bias;
};

// The query at `q_at` attends to `keys`; no keys give zeros.
void AttendOne(ConstView q, int64_t q_at, ConstView k, ConstView v, const std::vector<Key>& keys,
               double scale, View out, int64_t out_at) {
  const int64_t width = q.shape[-1];
  std::vector<double> scores(keys.size());
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t j = 0; j < keys.size(); ++j) {
    double dot = 0;
    for (int64_t d = 0; d < width; ++d) {
      dot += Load(q.data, q.dtype, q_at + d) * Load(k.data, k.dtype, keys[j].k + d);
    }
    scores[j] = scale * dot + keys[j].bias;
    largest = std::max(largest, scores[j]);
  }
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - largest);
  for (int64_t d = 0; d < width; ++d) {
    double sum = 0;
    for (size_t j = 0; j < keys.size(); ++j) {
      sum += scores[j] * Load(v.data, v.dtype, keys[j].v + d);
    }
    Store(out.data, out.dtype, out_at + d, keys.empty() ? 0 : sum / total);
  }
}

// Elements between a view's first and its element [b, t, h, 0] or [b, y, x, h, 0].
int64_t At(ConstView view, int64_t b, int64_t t, int64_t h) {
  return b * view.strides[0] + t * view.strides[1] + h * view.strides[2];
}
int64_t At(ConstView view, int64_t b, int64_t y, int64_t x, int64_t h) {
  return b * view.strides[0] + y * view.strides[1] + x * view.strides[2] + h * view.strides[3];
}

// begin..end-1 of the keys along one axis.
struct Range {
  int64_t begin;
  int64_t end;
};

// Attention over a grid where query (y, x) sees the keys rows(y) x columns(x).
template <class Args, class Along>
void AttendGrid(const Args& args, const Along& along) {
  const Shape& s = args.q.shape;
  ParallelFor(s[0] * s[1], [&](int64_t row) {
    const int64_t b = row / s[1];
    const int64_t y = row % s[1];
    std::vector<Key> keys;
    for (int64_t x = 0; x < s[2]; ++x) {
      for (int64_t h = 0; h < s[3]; ++h) {
        keys.clear();
        const Range rows = along(y, s[1]);
        const Range columns = along(x, s[2]);
        for (int64_t ky = rows.begin; ky < rows.end; ++ky) {
          for (int64_t kx = columns.begin; kx < columns.end; ++kx) {
            keys.push_back({At(args.k, b, ky, kx, h), At(args.v, b, ky, kx, h), 0});
          }
        }
        AttendOne(args.q, At(args.q, b, y, x, h), args.k, args.v, keys, args.scale, args.out,
                  At(args.out, b, y, x, h));
      }
    }
  });
}

}  // namespace

void Attention(Context&, const AttentionArgs& args) {
  const Shape& s = args.q.shape;
  const int64_t tokens = args.k.shape[1];
  ParallelFor(s[0] * s[1], [&](int64_t row) {
    const int64_t b = row / s[1];
    const int64_t i = row % s[1];
    std::vector<Key> keys;
    for (int64_t h = 0; h < s[2]; ++h) {
      keys.clear();
      for (int64_t j = 0; j < tokens; ++j) {
        if (!args.key_mask.empty() && args.key_mask.Data<int32_t>()[b * tokens + j] == 0) continue;
        const double bias =
            args.bias.empty() ? 0 : args.bias.Data<float>()[(h * s[1] + i) * tokens + j];
        keys.push_back({At(args.k, b, j, h), At(args.v, b, j, h), bias});
      }
      AttendOne(args.q, At(args.q, b, i, h), args.k, args.v, keys, args.scale, args.out,
                At(args.out, b, i, h));
    }
  });
}

void WindowAttention(Context&, const WindowAttentionArgs& args) {
  AttendGrid(args, [&](int64_t at, int64_t length) {
    const int64_t begin = (at + args.shift) / args.window * args.window - args.shift;
    return Range{std::max<int64_t>(begin, 0), std::min(begin + args.window, length)};
  });
}

void NeighborhoodAttention(Context&, const NeighborhoodAttentionArgs& args) {
  AttendGrid(args, [&](int64_t at, int64_t length) {
    const int64_t begin =
        std::clamp<int64_t>(at - args.kernel_size / 2, 0, length - args.kernel_size);
    return Range{begin, begin + args.kernel_size};
  });
}

}  // namespace gesso::ref
