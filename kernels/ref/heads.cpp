#include "kernels/ref/heads.h"

#include <algorithm>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ref/scalar.h"

namespace gesso::ref {

namespace {

void PrepareHead(const PrepareHeadsArgs& args, const HeadPart& part, int64_t b, int64_t t,
                 int64_t h) {
  const Shape& s = part.x.shape;
  const auto offset = [&](const Strides& strides) {
    return b * strides[0] + t * strides[1] + h * strides[2];
  };
  std::vector<double> u(static_cast<size_t>(s[3]));
  double square = 0;
  for (int64_t d = 0; d < s[3]; ++d) {
    const double value = Load(part.x.data, part.x.dtype, offset(part.x.strides) + d);
    u[static_cast<size_t>(d)] = value;
    square += value * value;
  }
  double factor = part.scale.empty() ? 1 : part.scale.Data<float>()[h];
  if (part.normalize) factor /= std::max(std::sqrt(square), static_cast<double>(args.eps));
  for (double& value : u) value *= factor;
  if (part.rotate) {
    const int64_t row = args.positions.empty() ? t : args.positions.Data<int32_t>()[b * s[1] + t];
    for (int64_t i = 0; i < s[3] / 2; ++i) {
      const double c = args.cos.Data<float>()[row * (s[3] / 2) + i];
      const double sine = args.sin.Data<float>()[row * (s[3] / 2) + i];
      double& even = u[static_cast<size_t>(2 * i)];
      double& odd = u[static_cast<size_t>(2 * i + 1)];
      const double before = even;
      even = before * c - odd * sine;
      odd = before * sine + odd * c;
    }
  }
  for (int64_t d = 0; d < s[3]; ++d) {
    Store(part.out.data, part.out.dtype, offset(part.out.strides) + d, u[static_cast<size_t>(d)]);
  }
}

}  // namespace

void PrepareHeads(Context&, const PrepareHeadsArgs& args) {
  const Shape& s = args.parts[0].x.shape;
  ParallelFor(s[0] * s[1], [&](int64_t token) {
    for (const HeadPart& part : args.parts) {
      for (int64_t h = 0; h < s[2]; ++h) PrepareHead(args, part, token / s[1], token % s[1], h);
    }
  });
}

}  // namespace gesso::ref
