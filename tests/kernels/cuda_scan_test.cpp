// Selective scans of the GPU against ref, with the threads of their blocks emulated on the CPU:
// tiles, chunks, borders, both directions and states are those of the GPU; and when there are
// chunks.
#include <fmt/format.h>

#include "kernels/cuda/device/scan.cuh"
#include "tests/support/cuda_scans.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

template <bool kWrites>
void RunScanBlocks(const cuda::SelectiveScans& scans) {
  using cuda::ScanType;
  constexpr int kThreads = cuda::kScanWarps * cuda::kWarp;
  switch (scans.type()) {
    case ScanType::kF32:
      return RunBlocks(cuda::ScanBlock<ScanType::kF32, kWrites>{scans}, kThreads);
    case ScanType::kBF16:
      return RunBlocks(cuda::ScanBlock<ScanType::kBF16, kWrites>{scans}, kThreads);
    case ScanType::kMixed:
      return RunBlocks(cuda::ScanBlock<ScanType::kMixed, kWrites>{scans}, kThreads);
  }
}

// What scan.cu launches, with chunks of `tokens`.
void RunScan(cuda::SelectiveScans scans, int64_t tokens) {
  scans.chunks = Cut(scans.terms[0].shape.length, tokens);
  std::vector<Carried> carried;
  for (int i = 0; i < scans.count; ++i) {
    carried.emplace_back(scans.terms[i].shape, scans.chunks);
    scans.carry[i] = carried.back().carry();
  }
  if (scans.chunks.count > 1) {
    RunScanBlocks<false>(scans);
    for (int i = 0; i < scans.count; ++i) MakeStarts(scans.terms[i], scans.chunks, scans.carry[i]);
  }
  RunScanBlocks<true>(scans);
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

void RunSelectiveScan(const SelectiveScanArgs& args, int64_t tokens) {
  if (args.forward.u.empty() || args.backward.u.empty()) {
    cuda::SelectiveScans scan;
    scan.terms[0] = cuda::SelectiveTerms(args, args.forward.u.empty());
    return RunScan(scan, tokens);
  }
  // The sum of both directions lies in memory of its own where out is no float32.
  std::vector<float> sums(static_cast<size_t>(2 * args.out.numel()), NAN);
  float* const backward = sums.data();
  float* const forward = args.out.dtype == DType::kF32 ? static_cast<float*>(args.out.data)
                                                       : backward + args.out.numel();
  RunScan(cuda::BothScans(args, forward, backward), tokens);
  cuda::InVectors(args.out.numel(), cuda::ScanSumElement(args, forward, backward),
                  [](int64_t count, const auto& body) {
                    for (int64_t i = 0; i < count; ++i) body(i);
                  });
}

TEST_P(CudaScan, SelectiveIsThatOfRef) {
  for (const Case& s : {Case{1, 1, 1, 1, 1}, Case{2, 7, 8, 4, 1}, Case{2, 70, 33, 5, 1, true, true},
                        Case{1, 200, 40, 16, 2, true, true}, Case{2, 64, 12, 17, 3, false, true},
                        Case{1, 300, 32, 3, 1, true, true, false}, Case{1, 129, 34, 40, 1},
                        Case{3, 97, 66, 16, 1, true, true}, Case{1, 65, 36, 33, 2, true, true}}) {
    SCOPED_TRACE(fmt::format("{} tokens, {} states", s.length, s.states));
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

// Where numbers lie decides how they are read: two at once, or one by one and of any type.
TEST(CudaScanTypes, AreToldByWhatIsGiven) {
  const Case s{1, 20, 32, 16, 1, true, true};
  using cuda::ScanType;
  const auto type = [&](DType dtype, const auto& change) {
    Direction in(s, 1, dtype);
    Tensor out(in.u.shape(), DType::kF32);
    SelectiveScanArgs args;
    args.forward = in.Args(true);
    args.forward.delta = in.u;  // in.wide begins at an odd place
    args.out = out.mutable_view();
    change(args);
    return cuda::SelectiveTerms(args, false).type();
  };
  const auto nothing = [](SelectiveScanArgs&) {};
  EXPECT_EQ(type(DType::kF32, nothing), ScanType::kF32);
  EXPECT_EQ(type(DType::kBF16, nothing), ScanType::kBF16);
  Tensor wide = RandomTensor({1, 20, 37}, 1, DType::kBF16);
  EXPECT_EQ(type(DType::kF32, [&](auto& a) { a.z = wide.view().Slice(2, 0, 32); }),
            ScanType::kMixed);
  EXPECT_EQ(type(DType::kBF16, [&](auto& a) { a.z = wide.view().Slice(2, 1, 33); }),
            ScanType::kMixed);
  Tensor odd = RandomTensor({1, 20, 1, 33}, 1, DType::kBF16);
  EXPECT_EQ(type(DType::kBF16, [&](auto& a) { a.forward.c = odd.view().Slice(3, 17, 33); }),
            ScanType::kMixed);
}

TEST(CudaScanTypes, MayDiffer) {
  const Case s{2, 75, 34, 16, 1, true, true};
  Direction forward(s, 1, DType::kBF16);
  Direction backward(s, 11, DType::kF32);
  forward.wide = Cast(forward.wide, DType::kF32);
  const Tensor z = RandomTensor(forward.u.shape(), 5, DType::kBF16);
  SelectiveScanArgs args;
  args.forward = forward.Args(true);
  args.backward = backward.Args(true);
  args.forward.final_state = args.backward.final_state = {};
  args.z = z;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Tensor want(forward.u.shape(), dtype);
    Tensor got(forward.u.shape(), dtype);
    args.out = want.mutable_view();
    RunImplementation(SelectiveScanTable(), "ref", args);
    args.out = got.mutable_view();
    RunSelectiveScan(args, 2 * cuda::kScanTile);
    EXPECT_LT(RmsError(got, want), ToleranceOf(dtype));
  }
}

TEST_P(CudaScan, SelectiveLeavesNanVisible) {
  const Case s{1, 90, 34, 16, 1, true, true};
  for (const int what : {0, 1, 2}) {  // of a token: u, delta, b
    SCOPED_TRACE(what);
    Direction in(s, 1, GetParam());
    Tensor& bad = what == 0 ? in.u : what == 1 ? in.wide : in.bc;
    Tensor numbers = Cast(bad, DType::kF32);
    numbers.MutableData<float>()[40 * bad.shape()[-1] + 8] = NAN;
    bad = Cast(numbers, GetParam());
    Tensor want(in.u.shape(), GetParam());
    Tensor got(in.u.shape(), GetParam());
    SelectiveScanArgs args;
    args.forward = in.Args(true);
    args.forward.final_state = {};
    args.out = want.mutable_view();
    RunImplementation(SelectiveScanTable(), "ref", args);
    args.out = got.mutable_view();
    for (const int64_t tokens : {kWhole, int64_t{cuda::kScanTile}}) {
      RunSelectiveScan(args, tokens);
      EXPECT_EQ(NansOf(got), NansOf(want));
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

TEST(Softplus, IsThatOfDoubles) {
  for (double x = -80; x < 80; x += 0.01) {
    const auto number = static_cast<float>(x);
    const double want =
        std::max<double>(number, 0) + std::log1p(std::exp(-std::abs(double{number})));
    ASSERT_NEAR(cuda::Softplus(number) / want, 1, 4e-7) << x;
  }
  EXPECT_TRUE(std::isnan(cuda::Softplus(NAN)));
  EXPECT_EQ(cuda::Softplus(INFINITY), INFINITY);
  EXPECT_EQ(cuda::Softplus(-INFINITY), 0);
}

TEST(ScanPlan, CutsLongSequencesOfFewChannels) {
  constexpr int kHopper = 132;
  const auto choose = [](int64_t pictures, int64_t length, int64_t channels, int64_t groups = 1) {
    const cuda::ScanShape shape = {pictures, length, channels, 16, groups};
    return cuda::ChooseScanChunks(length, pictures * shape.ChannelBlocks(), cuda::kSelectiveCosts,
                                  kHopper);
  };
  EXPECT_EQ(choose(1, 1, 1024).count, 1);
  EXPECT_EQ(choose(1, 64, 32).count, 1);
  EXPECT_EQ(choose(1, 1024, 8192).count, 1);   // 256 blocks: each tile twice would take longer
  EXPECT_EQ(choose(16, 1024, 1024).count, 1);  // 512 blocks
  EXPECT_EQ(choose(1, 256, 4096).count, 1);    // 128 blocks, as both directions of DiM have
  // 8 blocks: with two a multiprocessor, as many as keep it busy, 2048 tiles make 33 chunks.
  EXPECT_EQ(choose(1, 65536, 256).tokens, 63 * cuda::kScanTile);
  EXPECT_EQ(choose(1, 65536, 1024).count, 8);
  // No block has channels of two groups: 20 of each take as many as 32.
  EXPECT_EQ(choose(1, 65536, 40, 2).tokens, choose(1, 65536, 64, 1).tokens);
  // 32 tiles in 16 chunks, once each and once more, and the launches.
  EXPECT_EQ(choose(1, 1024, 256).count, 16);
  EXPECT_EQ(choose(1, 128, 256).count, 1);  // 4 tiles
}

TEST(ScanPlan, CutsCoverEveryToken) {
  for (const int64_t length : {int64_t{1}, int64_t{640}, int64_t{1000}, int64_t{100000}}) {
    for (const int64_t blocks : {1, 10, 200, 5000}) {
      for (const cuda::ScanCosts& costs :
           {cuda::kSelectiveCosts, cuda::SsdCosts(32, 4), cuda::SsdCosts(64, 1)}) {
        const cuda::ScanChunks chunks = cuda::ChooseScanChunks(length, blocks, costs, 108);
        EXPECT_EQ(chunks.tokens % costs.tile, 0);
        EXPECT_GE(chunks.count * chunks.tokens, length);
        EXPECT_LT((chunks.count - 1) * chunks.tokens, length);
      }
    }
  }
}

}  // namespace
}  // namespace gesso
