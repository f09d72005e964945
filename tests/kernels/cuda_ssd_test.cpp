// State-space duality on tensor cores against ref, with the threads of its blocks emulated on the
// CPU: tiles, chunks, ragged ends, states, and what decays and NaN do.
#include <fmt/format.h>

#include "kernels/cuda/device/ssd.cuh"
#include "tests/support/cuda_scans.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

class CudaSsd : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaSsd, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

struct SsdCase {
  int64_t batch, length, heads, d_head, states, groups;
  bool parameters = true;  // a, d, dt_bias, softplus, initial state
  bool d_has_hdim = false;
};

// What scan.cu launches, with chunks of `tiles` or, for 0, one.
template <class Products, int kWidth>
void RunSsdTiles(const SsdArgs& args, int64_t tiles, Arrival arrival) {
  using Tile = cuda::SsdTile<Products, kWidth>;
  constexpr int kThreads = Tile::kThreads;
  const cuda::SsdTerms terms(args);
  const cuda::ScanChunks chunks =
      Cut(terms.shape.length, tiles == 0 ? kWhole : tiles * Tile::kTokens);
  Carried carried(terms.shape, chunks);
  if (chunks.count > 1) {
    RunBlocks(cuda::SsdBlock<Products, kWidth, false>(terms, chunks, carried.carry()), kThreads,
              arrival);
    MakeStarts(terms, chunks, carried.carry());
  }
  RunBlocks(cuda::SsdBlock<Products, kWidth, true>(terms, chunks, carried.carry()), kThreads,
            arrival);
}

template <class Products>
void RunSsdAs(const SsdArgs& args, int64_t tiles, Arrival arrival) {
  const int64_t states = args.b.shape[3];
  if (states <= 64) return RunSsdTiles<Products, 64>(args, tiles, arrival);
  if (states <= 128) return RunSsdTiles<Products, 128>(args, tiles, arrival);
  RunSsdTiles<Products, 256>(args, tiles, arrival);
}

void RunSsd(const SsdArgs& args, int64_t tiles, Arrival arrival = Arrival::kLate) {
  const bool bf16 =
      args.x.dtype == DType::kBF16 && args.b.dtype == DType::kBF16 && args.c.dtype == DType::kBF16;
  if (bf16) return RunSsdAs<cuda::SsdBf16Products>(args, tiles, arrival);
  RunSsdAs<cuda::SsdFloat32Products>(args, tiles, arrival);
}

TEST_P(CudaSsd, IsThatOfRef) {
  for (const SsdCase& s : {SsdCase{1, 1, 1, 1, 1, 1}, SsdCase{2, 19, 4, 16, 16, 1},
                           SsdCase{1, 140, 6, 8, 8, 2, true, true}, SsdCase{2, 65, 3, 33, 7, 3},
                           SsdCase{1, 300, 2, 20, 36, 1, false}, SsdCase{1, 130, 2, 64, 64, 1},
                           SsdCase{1, 67, 2, 100, 100, 2, true, true},
                           SsdCase{1, 129, 1, 40, 256, 1}, SsdCase{1, 70, 1, 17, 200, 1, false}}) {
    SCOPED_TRACE(fmt::format("{} tokens, {} states", s.length, s.states));
    const Shape heads = {s.batch, s.length, s.heads, s.d_head};
    // Every other case begins where 16 bytes cannot be copied at once.
    const int64_t begin = s.batch == 2 ? 3 : 8;
    const Tensor wide =
        RandomTensor({s.batch, s.length, s.heads * s.d_head + begin}, 1, GetParam());
    ConstView x = wide.view().Slice(2, begin, s.heads * s.d_head + begin);
    x.shape = heads;
    x.strides = {x.strides[0], x.strides[1], s.d_head, 1};
    Tensor dt = RandomTensor({s.batch, s.length, s.heads}, 2);
    if (!s.parameters) {
      for (int64_t i = 0; i < dt.shape().numel(); ++i) {
        dt.MutableData<float>()[i] = -std::abs(dt.Data<float>()[i]);
      }
    }
    const Tensor a = Rates({s.heads});
    const Tensor b = RandomTensor({s.batch, s.length, s.groups, s.states}, 3, GetParam());
    const Tensor c = RandomTensor(b.shape(), 4, GetParam());
    const Tensor d = RandomTensor(s.d_has_hdim ? Shape{s.heads, s.d_head} : Shape{s.heads}, 5);
    const Tensor bias = RandomTensor({s.heads}, 6);
    const auto run = [&](Tensor& out, const auto& with) {
      Tensor state = RandomTensor({s.batch, s.heads, s.d_head, s.states}, 7);
      SsdArgs args{.x = x, .dt = dt, .b = b, .c = c, .out = out.mutable_view()};
      args.final_state = state.mutable_view();
      if (s.parameters) {
        args.a = a;
        args.d = d;
        args.dt_bias = bias;
        args.dt_softplus = true;
        args.initial_state = state;
      }
      with(args);
      return state;
    };
    Tensor want(heads, GetParam());
    const Tensor want_state =
        run(want, [](const auto& mine) { RunImplementation(SsdTable(), "ref", mine); });
    for (const int64_t tiles : {0, 1, 2}) {
      SCOPED_TRACE(tiles);
      Tensor got = RandomTensor(heads, 99, GetParam());
      const Arrival arrival = tiles == 1 ? Arrival::kEarly : Arrival::kLate;
      const Tensor state = run(got, [&](const auto& mine) { RunSsd(mine, tiles, arrival); });
      EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam()));
      EXPECT_LT(RmsError(state, want_state), 1e-5);
    }
  }
}

// What an Ssd reads, of one head to a group.
struct SsdInputs {
  Tensor x, dt, a, b, c, initial, final_state;

  SsdInputs(int64_t length, int64_t heads, int64_t d_head, int64_t states, DType dtype)
      : x(RandomTensor({1, length, heads, d_head}, 1, dtype)),
        dt(RandomTensor({1, length, heads}, 2)),
        a(Rates({heads})),
        b(RandomTensor({1, length, heads, states}, 3, dtype)),
        c(RandomTensor({1, length, heads, states}, 4, dtype)),
        initial(RandomTensor({1, heads, d_head, states}, 5)),
        final_state(initial.shape(), DType::kF32) {}
  SsdArgs Args(Tensor& out) {
    SsdArgs args{.x = x, .dt = dt, .a = a, .b = b, .c = c, .out = out.mutable_view()};
    args.dt_softplus = true;
    args.initial_state = initial;
    args.final_state = final_state.mutable_view();
    return args;
  }
};

// Decays between tokens of a tile are differences of sums, of which huge ones must take nothing.
TEST_P(CudaSsd, TakesExtremeSteps) {
  SsdInputs in(200, 2, 16, 16, GetParam());
  for (int64_t i = 0; i < in.dt.shape().numel(); ++i) {
    float& dt = in.dt.MutableData<float>()[i];
    dt = i % 7 == 0 ? 30000 : dt - 3;
  }
  for (float* x = in.a.MutableData<float>(); x != in.a.MutableData<float>() + 2; ++x) *x = -1;
  // What goes in after a huge step would hide the rest.
  Tensor numbers = Cast(in.x, DType::kF32);
  for (int64_t token = 0; token < 200; ++token) {
    for (int64_t i = 0; i < 32; ++i) {
      if ((token * 2 + i / 16) % 7 == 0) numbers.MutableData<float>()[token * 32 + i] = 0;
    }
  }
  in.x = Cast(numbers, GetParam());
  Tensor want(in.x.shape(), GetParam());
  Tensor got(in.x.shape(), GetParam());
  RunImplementation(SsdTable(), "ref", in.Args(want));
  const Tensor want_state = Cast(in.final_state, DType::kF32);
  for (const int64_t tiles : {0, 1}) {
    RunSsd(in.Args(got), tiles);
    EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam()));
    EXPECT_LT(RmsError(in.final_state, want_state), 1e-5);
  }
}

// Those of ref are, and of the tile's other tokens only those of the same channel.
TEST_P(CudaSsd, LeavesNanVisible) {
  constexpr int64_t kAt = 100;
  for (const bool in_step : {false, true}) {
    SsdInputs in(150, 2, 16, 16, GetParam());
    Tensor& bad = in_step ? in.dt : in.x;
    Tensor numbers = Cast(bad, DType::kF32);
    numbers.MutableData<float>()[kAt * bad.shape().numel() / 150 + 1] = NAN;  // token, channel
    bad = Cast(numbers, bad.dtype());
    Tensor want(in.x.shape(), GetParam());
    Tensor got(in.x.shape(), GetParam());
    RunImplementation(SsdTable(), "ref", in.Args(want));
    const auto wanted = NansOf(want);
    EXPECT_TRUE(wanted.back() == in_step);
    RunSsd(in.Args(got), 0);
    const auto nans = NansOf(got);
    for (size_t i = 0; i < nans.size(); ++i) {
      if (wanted[i]) {
        ASSERT_TRUE(nans[i]) << i;
      }
      const size_t channel = i % 32;
      if (in_step ? channel < 16 : channel != 1) {
        ASSERT_FALSE(nans[i]) << i;
      }
    }
  }
}

TEST(CudaSsdTypes, MayDiffer) {
  SsdInputs in(70, 2, 24, 20, DType::kBF16);
  in.b = Cast(in.b, DType::kF32);
  Tensor want(in.x.shape(), DType::kF32);
  Tensor got(in.x.shape(), DType::kF32);
  RunImplementation(SsdTable(), "ref", in.Args(want));
  RunSsd(in.Args(got), 1);
  EXPECT_LT(RmsError(got, want), 1e-5);
}

// Which tiles fit into the shared memory that GPUs give a block, least and most.
TEST(SsdTile, FitsIntoABlock) {
  constexpr size_t kLeast = 99 << 10;
  constexpr size_t kMost = 227 << 10;
  EXPECT_LE((cuda::SsdTile<cuda::SsdBf16Products, 64>::kSharedBytes), kLeast);
  EXPECT_LE((cuda::SsdTile<cuda::SsdFloat32Products, 128>::kSharedBytes), kLeast);
  EXPECT_LE((cuda::SsdTile<cuda::SsdBf16Products, 256>::kSharedBytes), kMost);
  EXPECT_LE((cuda::SsdTile<cuda::SsdFloat32Products, 256>::kSharedBytes), size_t{173} << 10);
}

}  // namespace
}  // namespace gesso
