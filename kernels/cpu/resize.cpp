#include "kernels/cpu/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/cpu/highway.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/resize.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/math-inl.h"

#ifndef GESSO_KERNELS_CPU_RESIZE_TYPES_
#define GESSO_KERNELS_CPU_RESIZE_TYPES_

namespace gesso::cpu {

struct Tap {
  int64_t index;
  float weight;
};

// The elements that the outputs of one axis read: output i has taps begin[i] .. begin[i + 1] - 1.
struct Axis {
  std::vector<Tap> taps;
  std::vector<size_t> begin;
};

}  // namespace gesso::cpu

#endif  // GESSO_KERNELS_CPU_RESIZE_TYPES_

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// One output pixel: the taps of its row and of its column on the picture at x.
template <class In, class Out>
HWY_INLINE void Pixel(const In* x, int64_t width, int64_t channels, const cpu::Axis& rows,
                      int64_t y, const cpu::Axis& columns, int64_t column, Out* out) {
  const F32 d;
  const int64_t lanes = LanesF();
  const cpu::Tap* taps = columns.taps.data();
  const size_t first = columns.begin[static_cast<size_t>(column)];
  const size_t last = columns.begin[static_cast<size_t>(column) + 1];
  const auto sum = [&](int64_t c, const auto& load) HWY_ATTR {
    auto total = hn::Zero(d);
    for (size_t r = rows.begin[static_cast<size_t>(y)]; r < rows.begin[static_cast<size_t>(y) + 1];
         ++r) {
      const In* line = x + rows.taps[r].index * width * channels + c;
      auto part = hn::Zero(d);
      for (size_t t = first; t < last; ++t) {
        const auto value = load(line + taps[t].index * channels);
        part = hn::MulAdd(hn::Set(d, taps[t].weight), value, part);
      }
      total = hn::MulAdd(hn::Set(d, rows.taps[r].weight), part, total);
    }
    return total;
  };
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    Store(sum(c, [](const In* from) HWY_ATTR { return Load(from); }), out + c);
  }
  if (const int64_t rest = channels - c; rest > 0) {
    const auto load = [rest](const In* from) HWY_ATTR { return LoadPart(from, rest); };
    StorePart(sum(c, load), out + c, rest);
  }
}

// Rows begin .. end - 1 of all B * H' output rows.
void ResizeRows(const ResizeArgs& args, const cpu::Axis& rows, const cpu::Axis& columns,
                int64_t begin, int64_t end) {
  const Shape& in = args.x.shape;
  const Shape& to = args.out.shape;
  cpu::WithTypes(args.x.dtype, args.out.dtype, [&](auto from_type, auto to_type) {
    for (int64_t row = begin; row < end; ++row) {
      const auto* x = args.x.Data<decltype(from_type)>() + row / to[1] * in[1] * in[2] * in[3];
      auto* out = args.out.Data<decltype(to_type)>() + row * to[2] * to[3];
      for (int64_t column = 0; column < to[2]; ++column) {
        Pixel(x, in[2], in[3], rows, row % to[1], columns, column, out + column * to[3]);
      }
    }
  });
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(ResizeRows);

namespace {

void Add(Axis& axis, int64_t index, double weight) {
  axis.taps.push_back({index, static_cast<float>(weight)});
}

void AddBilinear(Axis& axis, double position, int64_t in) {
  const double inside = std::max(position, 0.0);
  const auto left = static_cast<int64_t>(inside);
  const double share = inside - static_cast<double>(left);
  Add(axis, std::min(left, in - 1), 1 - share);
  if (share > 0) Add(axis, std::min(left + 1, in - 1), share);
}

// Keys' kernel with a = -0.75 at distances 1 + t, t, 1 - t and 2 - t, written out.
void AddBicubic(Axis& axis, double position, int64_t in) {
  const auto left = static_cast<int64_t>(std::floor(position));
  const double t = position - static_cast<double>(left);
  const double u = 1 - t;
  const double weights[] = {-0.75 * t * u * u, (1.25 * t - 2.25) * t * t + 1,
                            (1.25 * u - 2.25) * u * u + 1, -0.75 * u * t * t};
  for (int64_t i = 0; i < 4; ++i) {
    if (weights[i] != 0) Add(axis, std::clamp<int64_t>(left - 1 + i, 0, in - 1), weights[i]);
  }
}

void FillAxis(Resampling resampling, int64_t in, int64_t out, Axis& axis) {
  axis.taps.clear();
  axis.begin.clear();
  const double ratio = static_cast<double>(in) / static_cast<double>(out);
  for (int64_t i = 0; i < out; ++i) {
    axis.begin.push_back(axis.taps.size());
    const double position = (static_cast<double>(i) + 0.5) * ratio - 0.5;
    switch (resampling) {
      case Resampling::kNearest:
        Add(axis, i * in / out, 1);
        break;
      case Resampling::kArea: {
        const int64_t begin = i * in / out;
        const int64_t end = ((i + 1) * in + out - 1) / out;
        for (int64_t j = begin; j < end; ++j) Add(axis, j, 1 / static_cast<double>(end - begin));
        break;
      }
      case Resampling::kBilinear:
        AddBilinear(axis, position, in);
        break;
      case Resampling::kBicubic:
        AddBicubic(axis, position, in);
        break;
    }
  }
  axis.begin.push_back(axis.taps.size());
}

// Whole pixels are copied as they are.
void CopyNearest(const ResizeArgs& args, const Axis& rows, const Axis& columns) {
  const Shape& in = args.x.shape;
  const Shape& to = args.out.shape;
  const size_t pixel = static_cast<size_t>(to[3]) * SizeOf(args.out.dtype);
  ParallelRange(to[0] * to[1], RowsATask(to[2] * to[3]), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t source =
          row / to[1] * in[1] + rows.taps[static_cast<size_t>(row % to[1])].index;
      const auto* x = static_cast<const std::byte*>(At(args.x, source * in[2] * in[3]));
      auto* out = static_cast<std::byte*>(At(args.out, row * to[2] * to[3]));
      for (const Tap& tap : columns.taps) {
        std::memcpy(out, x + static_cast<size_t>(tap.index) * pixel, pixel);
        out += pixel;
      }
    }
  });
}

}  // namespace

void Resize(Context&, const ResizeArgs& args) {
  thread_local Axis row_buffer;
  thread_local Axis column_buffer;
  const Shape& in = args.x.shape;
  const Shape& to = args.out.shape;
  Axis& rows = row_buffer;  // other threads would see their own under the buffer's name
  Axis& columns = column_buffer;
  FillAxis(args.resampling, in[1], to[1], rows);
  FillAxis(args.resampling, in[2], to[2], columns);
  if (args.resampling == Resampling::kNearest && args.x.dtype == args.out.dtype) {
    return CopyNearest(args, rows, columns);
  }
  const int64_t taps_a_row =
      static_cast<int64_t>(columns.taps.size() * rows.taps.size()) / to[1] * to[3];
  ParallelRange(to[0] * to[1], RowsATask(taps_a_row), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ResizeRows)(args, rows, columns, begin, end);
  });
}

}  // namespace gesso::cpu

#endif  // HWY_ONCE
