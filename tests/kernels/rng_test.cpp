#include "kernels/core/rng.h"

#include <gtest/gtest.h>

namespace gesso {
namespace {

// Known answers of the authors' own implementation (Random123, tests/kat_vectors).
static_assert(Philox({0, 0, 0, 0}, {0, 0}) ==
              std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(Philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
              std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
              std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

TEST(Rng, FillsWithItsPairsAndEndsWithHalfOfOne) {
  Tensor out({5}, DType::kF32);
  FillNormal(out.mutable_view(), 3, 9);
  for (int64_t i = 0; i < 5; ++i) {
    const auto pair = NormalPair(3, 9, static_cast<uint64_t>(i / 2));
    EXPECT_EQ(out.Data<float>()[i], pair[static_cast<size_t>(i % 2)]);
  }
}

}  // namespace
}  // namespace gesso
