// NearestCode against distances computed here, ties and NaN included, on every vector width.
#include "kernels/nearest_code.h"

#include "kernels/core/parallel.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

std::vector<int32_t> Nearest(std::string_view implementation, const Tensor& z,
                             const PackedCodebook& codebook) {
  Tensor tokens({z.shape()[0]}, DType::kI32);
  RunImplementation(NearestCodeTable(), implementation,
                    NearestCodeArgs{z, &codebook, tokens.mutable_view()});
  const auto* first = tokens.Data<int32_t>();
  return {first, first + z.shape()[0]};
}

// Calls body(tokens) with what each implementation finds that runs here, packed for its device.
template <class Body>
void ForEachSearch(const Tensor& z, const Tensor& codes, const Body& body) {
  for (const auto& implementation : NearestCodeTable().implementations()) {
    if (!RunsHere(implementation)) continue;
    SCOPED_TRACE(std::string(implementation.name));
    body(Nearest(implementation.name, z, PackCodebook(implementation.device, codes)));
  }
}

// argmin |z - e|^2 by definition.
std::vector<int32_t> ByDistance(const Tensor& z, const Tensor& codes) {
  std::vector<int32_t> tokens;
  const int64_t depth = z.shape()[1];
  for (int64_t r = 0; r < z.shape()[0]; ++r) {
    double nearest = INFINITY;
    tokens.push_back(0);
    for (int64_t v = 0; v < codes.shape()[0]; ++v) {
      double distance = 0;
      for (int64_t d = 0; d < depth; ++d) {
        const double difference = static_cast<double>(z.Data<float>()[r * depth + d]) -
                                  static_cast<double>(codes.Data<float>()[v * depth + d]);
        distance += difference * difference;
      }
      if (distance >= nearest) continue;
      nearest = distance;
      tokens.back() = static_cast<int32_t>(v);
    }
  }
  return tokens;
}

class NearestCodeTest : public testing::TestWithParam<std::array<int64_t, 3>> {};

TEST_P(NearestCodeTest, IsTheNearest) {
  const auto [rows, codes, depth] = GetParam();
  const Tensor z = RandomTensor({rows, depth}, 1);
  const Tensor table = RandomTensor({codes, depth}, 2, DType::kF32, 0.7f);
  const std::vector<int32_t> want = ByDistance(z, table);
  ForEachTarget([&] {
    ForEachSearch(z, table, [&](const std::vector<int32_t>& tokens) { EXPECT_EQ(tokens, want); });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, NearestCodeTest,
                         testing::Values(std::array<int64_t, 3>{1, 1, 1},
                                         std::array<int64_t, 3>{7, 5, 3},
                                         std::array<int64_t, 3>{40, 61, 12},
                                         std::array<int64_t, 3>{300, 4096, 32},
                                         std::array<int64_t, 3>{3, 100, 8}));

TEST(NearestCode, TakesTheLowestOfEquals) {
  // Three copies of the same 40 codes: the first copy wins, wherever the others lie in a vector.
  const Tensor once = RandomTensor({40, 6}, 1);
  Tensor table({120, 6}, DType::kF32);
  for (int64_t i = 0; i < 120 * 6; ++i) {
    table.MutableData<float>()[i] = once.Data<float>()[i % (40 * 6)];
  }
  ForEachTarget([&] {
    ForEachSearch(once, table, [&](const std::vector<int32_t>& tokens) {
      for (int32_t i = 0; i < 40; ++i) EXPECT_EQ(tokens[static_cast<size_t>(i)], i);
    });
  });
}

TEST(NearestCode, NotANumberGivesTheFirstCode) {
  Tensor z({1, 4}, DType::kF32);
  z.MutableData<float>()[2] = NAN;
  ForEachSearch(z, RandomTensor({50, 4}, 1), [](const std::vector<int32_t>& tokens) {
    EXPECT_EQ(tokens, std::vector<int32_t>{0});
  });
}

TEST(NearestCode, ThreadsDoNotChangeTheResult) {
  const Tensor z = RandomTensor({500, 16}, 1);
  const PackedCodebook codebook = PackCodebook(Device::kCpu, RandomTensor({3000, 16}, 2));
  const int before = NumThreads();
  SetNumThreads(1);
  const std::vector<int32_t> one = Nearest("gemm", z, codebook);
  SetNumThreads(3);
  EXPECT_EQ(Nearest("gemm", z, codebook), one);
  SetNumThreads(before);
}

TEST(NearestCodeErrors, NameTheArgument) {
  Context ctx;
  const PackedCodebook codebook = PackCodebook(Device::kCpu, RandomTensor({5, 4}, 1));
  const Tensor z({3, 5}, DType::kF32);
  Tensor tokens({3}, DType::kI32);
  ExpectError(ErrorKind::kShape, "nearest_code: z", [&] {
    NearestCode(ctx, {z, &codebook, tokens.mutable_view()});
  });
  const Tensor good({2, 4}, DType::kF32);
  ExpectError(ErrorKind::kShape, "nearest_code: tokens", [&] {
    NearestCode(ctx, {good, &codebook, tokens.mutable_view()});
  });
  ExpectError(ErrorKind::kShape, "empty codebook", [] {
    PackCodebook(Device::kCpu, Tensor({0, 4}, DType::kF32));
  });
}

}  // namespace
}  // namespace gesso
