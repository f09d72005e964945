// Queries, keys and values of one projection, for tests of what makes them ready.
#pragma once

#include <array>
#include <vector>

#include "kernels/heads.h"
#include "tests/support/ops.h"

namespace gesso::testing_support {

class HeadsCase {
 public:
  // Heads [B, T, H, D], which are read as `in`. The first part becomes `out`, the second `in`, the
  // third `out`.
  HeadsCase(const Shape& heads, DType in, DType out)
      : heads_(heads),
        types_{out, in, out},
        qkv_(RandomTensor({heads[0], heads[1], 3 * heads[2], heads[3]}, 1, in)),
        scale_(RandomTensor({heads[2]}, 2)),
        cos_(RandomTensor({2 * heads[1], heads[3] / 2}, 3)),
        sin_(RandomTensor({2 * heads[1], heads[3] / 2}, 4)),
        positions_({heads[0], heads[1]}, DType::kI32) {
    for (int64_t i = 0; i < positions_.shape().numel(); ++i) {
      positions_.MutableData<int32_t>()[i] = static_cast<int32_t>(i * 7 % (2 * heads[1]));
    }
  }

  // What run(args) makes of `count` of the parts. What is done to each follows from `options`
  // below kOptions: of 3 parts no two are treated alike. The first is kept token by token, the
  // others head by head behind others that stay as they are.
  static constexpr int kOptions = 16;
  template <class Run>
  std::vector<Tensor> Results(int count, int options, const Run& run) const {
    std::vector<Tensor> kept;
    std::vector<HeadPart> parts;
    for (int i = 0; i < count; ++i) {
      const int own = options + 3 * i;
      HeadPart part{.x = qkv_.view().Slice(2, i * heads_[2], (i + 1) * heads_[2]),
                    .normalize = (own & 1) != 0,
                    .rotate = (own & 4) != 0 && heads_[3] % 2 == 0,
                    .out = {}};
      if ((own & 2) != 0) part.scale = scale_;
      kept.push_back(Kept(i));
      part.out = Out(i, kept.back());
      parts.push_back(part);
    }
    PrepareHeadsArgs args{.parts = parts};
    if (heads_[3] % 2 == 0) {
      args.cos = cos_;
      args.sin = sin_;
    }
    if ((options & 8) != 0) args.positions = positions_;
    run(args);
    return kept;
  }
  // Expects of run(args) what ref makes of all numbers of parts and all options.
  template <class Run>
  void ExpectLikeRef(const Run& run) const {
    for (int count = 1; count <= 3; ++count) {
      for (int options = 0; options < kOptions; ++options) {
        const std::vector<Tensor> want = Results(count, options, [](const auto& args) {
          RunImplementation(PrepareHeadsTable(), "ref", args);
        });
        const std::vector<Tensor> got = Results(count, options, run);
        for (size_t i = 0; i < got.size(); ++i) {
          EXPECT_LT(RmsError(got[i], want[i]), ToleranceOf(types_[i]))
              << "part " << i << " of " << count << ", options " << options;
        }
      }
    }
  }

 private:
  static constexpr int64_t kBefore = 4;  // tokens

  Tensor Kept(int i) const {
    const auto& h = heads_;
    const Shape shape = i == 0 ? h : Shape{h[0], h[2], kBefore + h[1], h[3]};
    return RandomTensor(shape, 5, types_[static_cast<size_t>(i)]);
  }
  View Out(int i, Tensor& kept) const {
    if (i == 0) return kept.mutable_view();
    return kept.mutable_view().Slice(2, kBefore, kBefore + heads_[1]).Permute({0, 2, 1, 3});
  }

  Shape heads_;
  std::array<DType, 3> types_;
  Tensor qkv_, scale_, cos_, sin_, positions_;
};

}  // namespace gesso::testing_support
