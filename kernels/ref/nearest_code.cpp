#include "kernels/ref/nearest_code.h"

#include <vector>

#include "kernels/core/parallel.h"

namespace gesso::ref {

void NearestCode(Context&, const NearestCodeArgs& args) {
  const PackedMatrix& packed = args.codebook->codes;
  const int64_t depth = packed.cols();
  std::vector<float> codes(static_cast<size_t>(packed.rows() * depth));
  packed.storage().Unpack(codes.data());
  ParallelFor(args.z.shape[0], [&](int64_t row) {
    const float* z = args.z.Data<float>() + row * depth;
    double nearest = 0;
    int32_t token = 0;
    for (int64_t v = 0; v < packed.rows(); ++v) {
      // |z|^2 is the same for all codes.
      double product = 0;
      for (int64_t d = 0; d < depth; ++d) {
        product += static_cast<double>(z[d]) *
                   static_cast<double>(codes[static_cast<size_t>(v * depth + d)]);
      }
      const double distance = -product - static_cast<double>(args.codebook->bias.Data<float>()[v]);
      if (v > 0 && !(distance < nearest)) continue;
      nearest = distance;
      token = static_cast<int32_t>(v);
    }
    args.tokens.Data<int32_t>()[row] = token;
  });
}

}  // namespace gesso::ref
