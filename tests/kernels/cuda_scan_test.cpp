// Scans of the GPU against ref, with the threads of their blocks emulated on the CPU: tiles,
// chunks, borders, both directions and states are those of the GPU; and when there are chunks.
#include "kernels/cuda/device/scan.cuh"
#include "tests/support/cuda_threads.h"
#include "tests/support/ops.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// Blocks in any order: none waits for another.
template <class Body>
void RunBlocks(const Body& body) {
  struct alignas(16) Chunk {
    unsigned char bytes[16];
  };
  std::vector<Chunk> shared(body.SharedBytes() / sizeof(Chunk) + 1);
  for (int64_t block = body.Blocks() - 1; block >= 0; --block) {
    std::memset(shared.data(), 0xff, shared.size() * sizeof(Chunk));
    CudaThreads threads(cuda::kScanWarps, Arrival::kLate);
    body(block, threads, shared.data());
  }
}

cuda::ScanChunks Cut(int64_t length, int64_t tokens) {
  return {(length + tokens - 1) / tokens, tokens};
}

// What scan.cu launches, with chunks of `tokens`.
template <class Terms>
void RunScan(const Terms& terms, int64_t tokens) {
  const cuda::ScanShape& shape = terms.shape;
  const cuda::ScanChunks chunks = Cut(shape.length, tokens);
  const auto ends = static_cast<size_t>(shape.pictures * chunks.count * shape.channels);
  std::vector<float> states(ends * static_cast<size_t>(shape.states), NAN);
  std::vector<float> exponents(ends, NAN);
  const cuda::ScanCarry carry = {states.data(), exponents.data()};
  if (chunks.count > 1) {
    RunBlocks(cuda::ScanBlock<Terms, false>{terms, chunks, carry});
    const cuda::ScanStartsElement<Terms> starts{terms, chunks, carry};
    for (int64_t i = 0; i < shape.pictures * shape.channels * shape.states; ++i) starts(i);
  }
  RunBlocks(cuda::ScanBlock<Terms, true>{terms, chunks, carry});
}

constexpr int64_t kWhole = 1 << 20;  // tokens of a chunk: all

// Decay rates as models have them.
Tensor Rates(const Shape& shape) {
  Tensor rates(shape, DType::kF32);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    rates.MutableData<float>()[i] = -0.05f * static_cast<float>(i % 16 + 1);
  }
  return rates;
}

struct Case {
  int64_t batch, length, channels, states, groups;
  bool forward = true;
  bool backward = false;
  bool parameters = true;  // d, delta_bias, initial state, z, softplus
};

struct Direction {
  Tensor u, wide, a, bc, d, bias, initial, final_state;

  Direction(const Case& s, uint32_t seed, DType dtype)
      : u(RandomTensor({s.batch, s.length, s.channels}, seed, dtype)),
        wide(RandomTensor({s.batch, s.length, s.channels + 5}, seed + 1, dtype, 0.3f)),
        a(Rates({s.channels, s.states})),
        bc(RandomTensor({s.batch, s.length, s.groups, 2 * s.states}, seed + 2, dtype)),
        d(RandomTensor({s.channels}, seed + 4)),
        bias(RandomTensor({s.channels}, seed + 5)),
        initial(RandomTensor({s.batch, s.channels, s.states}, seed + 6)),
        final_state(initial.shape(), DType::kF32) {}
  ScanDirection Args(bool parameters) {
    ScanDirection args{.u = u,
                       .delta = wide.view().Slice(2, 5, wide.shape()[2]),
                       .a = a,
                       .b = bc.view().Slice(3, 0, a.shape()[1]),
                       .c = bc.view().Slice(3, a.shape()[1], 2 * a.shape()[1])};
    args.final_state = final_state.mutable_view();
    if (!parameters) return args;
    args.d = d;
    args.delta_bias = bias;
    // In place: what went before is no longer needed once there is an end.
    final_state = Cast(initial, DType::kF32);
    args.final_state = final_state.mutable_view();
    args.initial_state = final_state;
    return args;
  }
};

class CudaScan : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, CudaScan, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& type) { return std::string(NameOf(type.param)); });

// The sum of both directions lies in memory of its own where out is no float32.
void RunSelectiveScan(const SelectiveScanArgs& args, int64_t tokens) {
  std::vector<float> sums(static_cast<size_t>(args.out.numel()), NAN);
  cuda::Numbers partial(args.out);
  if (args.out.dtype != DType::kF32) {
    partial.data = sums.data();
    partial.bf16 = false;
  }
  if (!args.forward.u.empty()) RunScan(cuda::SelectiveTerms(args, false, partial), tokens);
  if (!args.backward.u.empty()) RunScan(cuda::SelectiveTerms(args, true, partial), tokens);
}

TEST_P(CudaScan, SelectiveIsThatOfRef) {
  for (const Case& s : {Case{1, 1, 1, 1, 1}, Case{2, 7, 8, 4, 1}, Case{2, 70, 33, 5, 1, true, true},
                        Case{1, 200, 40, 16, 2, true, true}, Case{2, 64, 12, 17, 3, false, true},
                        Case{1, 300, 32, 3, 1, true, true, false}, Case{1, 129, 34, 40, 1}}) {
    SCOPED_TRACE(s.length);
    const Tensor z = RandomTensor({s.batch, s.length, s.channels + 3}, 40, GetParam());
    Tensor want({s.batch, s.length, s.channels}, GetParam());
    const auto run = [&](Tensor& out, const auto& with) {
      Direction forward(s, 1, GetParam());
      Direction backward(s, 11, GetParam());
      SelectiveScanArgs args;
      if (s.forward) args.forward = forward.Args(s.parameters);
      if (s.backward) args.backward = backward.Args(s.parameters);
      args.delta_softplus = s.parameters;
      if (s.parameters) args.z = z.view().Slice(2, 3, s.channels + 3);
      args.out = out.mutable_view();
      with(args);
      return std::pair(std::move(forward.final_state), std::move(backward.final_state));
    };
    const auto want_states =
        run(want, [](const auto& a) { RunImplementation(SelectiveScanTable(), "ref", a); });
    for (const int64_t tokens : {kWhole, int64_t{cuda::kScanTile}, int64_t{2 * cuda::kScanTile}}) {
      SCOPED_TRACE(tokens);
      Tensor got = RandomTensor(want.shape(), 99, GetParam());
      const auto states = run(got, [&](const auto& a) { RunSelectiveScan(a, tokens); });
      EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam()));
      if (s.forward) {
        EXPECT_LT(RmsError(states.first, want_states.first), 1e-5);
      }
      if (s.backward) {
        EXPECT_LT(RmsError(states.second, want_states.second), 1e-5);
      }
    }
  }
}

// Steps of all sizes: decays that underflow, and states that fade to nothing.
TEST(CudaScanFloat32, TakesExtremeSteps) {
  const Case s{1, 300, 16, 16, 1};
  Direction in(s, 1, DType::kF32);
  for (int64_t i = 0; i < in.wide.shape().numel(); ++i) {
    in.wide.MutableData<float>()[i] *= i % 7 == 0 ? 1000 : 3;
  }
  for (int64_t i = 16 * 40; i < in.u.shape().numel(); ++i) in.u.MutableData<float>()[i] = 0;
  Tensor want(in.u.shape(), DType::kF32);
  SelectiveScanArgs args;
  args.forward = in.Args(false);
  args.out = want.mutable_view();
  RunImplementation(SelectiveScanTable(), "ref", args);
  for (const int64_t tokens : {kWhole, int64_t{cuda::kScanTile}}) {
    Tensor got(in.u.shape(), DType::kF32);
    args.out = got.mutable_view();
    RunSelectiveScan(args, tokens);
    EXPECT_LT(RmsError(got, want), 1e-5);
  }
}

struct SsdCase {
  int64_t batch, length, heads, d_head, states, groups;
  bool parameters = true;  // a, d, dt_bias, softplus, initial state
  bool d_has_hdim = false;
};

TEST_P(CudaScan, SsdIsThatOfRef) {
  for (const SsdCase& s : {SsdCase{1, 1, 1, 1, 1, 1}, SsdCase{2, 19, 4, 16, 16, 1},
                           SsdCase{1, 140, 6, 8, 8, 2, true, true}, SsdCase{2, 65, 3, 33, 7, 3},
                           SsdCase{1, 300, 2, 20, 36, 1, false}}) {
    SCOPED_TRACE(s.length);
    const Shape heads = {s.batch, s.length, s.heads, s.d_head};
    const Tensor wide = RandomTensor({s.batch, s.length, s.heads * s.d_head + 3}, 1, GetParam());
    ConstView x = wide.view().Slice(2, 3, s.heads * s.d_head + 3);
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
    for (const int64_t tokens : {kWhole, int64_t{cuda::kScanTile}, int64_t{2 * cuda::kScanTile}}) {
      SCOPED_TRACE(tokens);
      Tensor got = RandomTensor(heads, 99, GetParam());
      const Tensor state =
          run(got, [&](const auto& mine) { RunScan(cuda::SsdTerms(mine), tokens); });
      EXPECT_LT(RmsError(got, want), ToleranceOf(GetParam()));
      EXPECT_LT(RmsError(state, want_state), 1e-5);
    }
  }
}

TEST(ScanPlan, CutsLongSequencesOfFewChannels) {
  constexpr int kHopper = 132;
  const auto choose = [](int64_t pictures, int64_t length, int64_t channels, int64_t groups = 1) {
    return cuda::ChooseScanChunks({pictures, length, channels, 16, groups}, kHopper);
  };
  EXPECT_EQ(choose(1, 1, 1024).count, 1);
  EXPECT_EQ(choose(1, 64, 32).count, 1);
  EXPECT_EQ(choose(1, 1024, 8192).count, 1);   // 256 blocks: each tile twice would take longer
  EXPECT_EQ(choose(16, 1024, 1024).count, 1);  // 512 blocks
  // 8 blocks, of which 396 / 8 = 49 chunks fit: 1024 tiles are 21 each.
  const cuda::ScanChunks few = choose(1, 65536, 256);
  EXPECT_EQ(few.tokens, 21 * cuda::kScanTile);
  EXPECT_EQ(few.count, 49);
  EXPECT_EQ(choose(8, 65536, 256).count, 6);
  // No block has channels of two groups: 20 of each take as many as 32.
  EXPECT_EQ(choose(1, 65536, 40, 2).tokens, choose(1, 65536, 64, 1).tokens);
  // 16 tiles in 16 chunks, once each and once more, and the launches.
  EXPECT_EQ(choose(1, 1024, 256).count, 16);
  EXPECT_EQ(choose(1, 256, 256).count, 1);  // 4 tiles
}

TEST(ScanPlan, CutsCoverEveryToken) {
  for (const int64_t length : {int64_t{1}, int64_t{640}, int64_t{1000}, int64_t{100000}}) {
    for (const int64_t channels : {1, 100, 5000}) {
      const cuda::ScanChunks chunks = cuda::ChooseScanChunks({1, length, channels, 16, 1}, 108);
      EXPECT_EQ(chunks.tokens % cuda::kScanTile, 0);
      EXPECT_GE(chunks.count * chunks.tokens, length);
      EXPECT_LT((chunks.count - 1) * chunks.tokens, length);
    }
  }
}

}  // namespace
}  // namespace gesso
