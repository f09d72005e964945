#include "kernels/ref/noise.h"

#include "kernels/core/parallel.h"
#include "kernels/core/rng.h"

namespace gesso::ref {

void DrawNormal(Context&, const DrawNormalArgs& args) {
  constexpr int64_t kBlocksATask = 4096;
  float* const out = args.out.Data<float>();
  const int64_t count = args.out.numel();
  ParallelRange((count + 1) / 2, kBlocksATask, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      std::array<float, 2> sum = {};
      for (const NormalTerm& term : args.terms) {
        const auto pair = NormalPair(args.seed, term.stream, static_cast<uint64_t>(block));
        for (size_t i = 0; i < 2; ++i) sum[i] += term.weight * pair[i];
      }
      out[2 * block] = sum[0];
      if (2 * block + 1 < count) out[2 * block + 1] = sum[1];
    }
  });
}

}  // namespace gesso::ref
