// SelectiveScan, Ssd and CausalConv1d against ref on every vector width, ref against formulas, and
// sequences cut in two against whole ones.
#include "kernels/scan.h"

#include <gmock/gmock.h>

#include <array>

#include "kernels/causal_conv.h"
#include "kernels/core/parallel.h"
#include "tests/support/ops.h"
#include "tests/support/targets.h"

namespace gesso {
namespace {

using namespace testing_support;  // NOLINT(google-build-using-namespace): test helpers

// Decay rates as models have them, -1 .. -16.
Tensor Rates(const Shape& shape) {
  Tensor rates(shape, DType::kF32);
  for (int64_t i = 0; i < shape.numel(); ++i) {
    rates.MutableData<float>()[i] = -static_cast<float>(i % 16 + 1);
  }
  return rates;
}

struct ScanCase {
  int64_t batch, length, channels, states, groups;
  bool forward = true;
  bool backward = false;
  bool parameters = true;  // d, delta_bias, states, z, softplus
  DType in = DType::kF32;
  DType out = DType::kF32;
};

struct Direction {
  Tensor u, delta, a, b, c, d, bias, initial, final_state;

  Direction(const ScanCase& s, uint32_t seed)
      : u(RandomTensor({s.batch, s.length, s.channels}, seed, s.in)),
        delta(RandomTensor({s.batch, s.length, s.channels}, seed + 1, s.in)),
        a(Rates({s.channels, s.states})),
        b(RandomTensor({s.batch, s.length, s.groups, s.states}, seed + 2, s.in)),
        c(RandomTensor({s.batch, s.length, s.groups, s.states}, seed + 3, s.in)),
        d(RandomTensor({s.channels}, seed + 4)),
        bias(RandomTensor({s.channels}, seed + 5)),
        initial(RandomTensor({s.batch, s.channels, s.states}, seed + 6)),
        final_state(initial.shape(), DType::kF32) {
    if (s.parameters) return;
    // Without softplus a step is dt itself: positive, as a model's are.
    delta = RandomTensor(delta.shape(), seed + 1);
    for (int64_t i = 0; i < delta.shape().numel(); ++i) {
      delta.MutableData<float>()[i] = std::abs(delta.Data<float>()[i]) / 4;
    }
  }
  ScanDirection Args(bool parameters) {
    ScanDirection args{.u = u, .delta = delta, .a = a, .b = b, .c = c};
    args.final_state = final_state.mutable_view();
    if (!parameters) return args;
    args.d = d;
    args.delta_bias = bias;
    args.initial_state = initial;
    return args;
  }
};

class SelectiveScanTest : public testing::TestWithParam<ScanCase> {};

TEST_P(SelectiveScanTest, EqualsRef) {
  const ScanCase& s = GetParam();
  Direction forward(s, 1);
  Direction backward(s, 11);
  const Tensor z = RandomTensor(forward.u.shape(), 21, s.in);
  Tensor want(z.shape(), s.out);
  SelectiveScanArgs args;
  if (s.forward) args.forward = forward.Args(s.parameters);
  if (s.backward) args.backward = backward.Args(s.parameters);
  args.delta_softplus = s.parameters;
  if (s.parameters) args.z = z;
  args.out = want.mutable_view();
  RunImplementation(SelectiveScanTable(), "ref", args);
  const Tensor want_forward = Cast(forward.final_state, DType::kF32);
  const Tensor want_backward = Cast(backward.final_state, DType::kF32);
  ForEachFast(SelectiveScanTable(), args, [&](std::string_view name) {
    ForEachTarget([&] {
      Tensor got(z.shape(), s.out);
      args.out = got.mutable_view();
      RunImplementation(SelectiveScanTable(), name, args);
      EXPECT_LT(RmsError(got, want), ToleranceOf(s.out));
      if (s.forward) {
        EXPECT_LT(RmsError(forward.final_state, want_forward), 1e-5);
      }
      if (s.backward) {
        EXPECT_LT(RmsError(backward.final_state, want_backward), 1e-5);
      }
    });
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SelectiveScanTest,
    testing::Values(ScanCase{1, 1, 1, 1, 1}, ScanCase{2, 7, 8, 4, 1}, ScanCase{2, 33, 40, 16, 1},
                    ScanCase{1, 70, 129, 16, 1, true, true}, ScanCase{3, 5, 8, 5, 2, true, true},
                    ScanCase{1, 64, 64, 64, 4, false, true},
                    ScanCase{2, 37, 70, 17, 1, true, true, false},
                    ScanCase{1, 1000, 20, 6, 2, true, true},  // a GPU cuts it into chunks
                    ScanCase{1, 100, 48, 16, 3, true, false, true, DType::kBF16, DType::kBF16},
                    ScanCase{1, 31, 20, 7, 1, true, true, true, DType::kBF16, DType::kF32}));

TEST(SelectiveScanRef, HandComputed) {
  // One channel, one state: dt = 2, u = (3, 5), decay e^-1, b = (1, 2), c = (1, 1), d = 10.
  const std::array<float, 2> u = {3, 5}, delta = {2, 2}, b = {1, 2}, c = {1, 1};
  const float a = -0.5f, d = 10;
  std::array<float, 2> y{};
  float state = 0;
  SelectiveScanArgs args;
  args.forward = {.u = ConstView(u.data(), {1, 2, 1}, DType::kF32),
                  .delta = ConstView(delta.data(), {1, 2, 1}, DType::kF32),
                  .a = ConstView(&a, {1, 1}, DType::kF32),
                  .b = ConstView(b.data(), {1, 2, 1, 1}, DType::kF32),
                  .c = ConstView(c.data(), {1, 2, 1, 1}, DType::kF32),
                  .d = ConstView(&d, {1}, DType::kF32),
                  .final_state = View(&state, {1, 1, 1}, DType::kF32)};
  args.delta_softplus = false;
  args.out = View(y.data(), {1, 2, 1}, DType::kF32);
  RunImplementation(SelectiveScanTable(), "ref", args);
  EXPECT_FLOAT_EQ(y[0], 6 + 30);
  EXPECT_FLOAT_EQ(state, 6 * std::exp(-1.0f) + 20);
  EXPECT_FLOAT_EQ(y[1], state + 50);
}

// The channels of a batch that b and c are slices of, as x_proj makes them; in place of the state.
TEST(SelectiveScan, ContinuesASequence) {
  const ScanCase s{2, 90, 70, 16, 1};
  Direction whole(s, 1);
  Tensor want(whole.u.shape(), DType::kF32);
  SelectiveScanArgs args;
  args.forward = whole.Args(true);
  args.out = want.mutable_view();
  Context ctx;
  SelectiveScan(ctx, args);
  Tensor state = Cast(whole.initial, DType::kF32);
  for (const auto& [begin, end] : {std::pair{0, 1}, std::pair{1, 50}, std::pair{50, 90}}) {
    const auto part = [&, begin = begin, end = end](ConstView x) { return x.Slice(1, begin, end); };
    Tensor got({s.batch, end - begin, s.channels}, DType::kF32);
    args.forward.u = part(whole.u);
    args.forward.delta = part(whole.delta);
    args.forward.b = part(whole.b);
    args.forward.c = part(whole.c);
    args.forward.initial_state = state;
    args.forward.final_state = state.mutable_view();
    args.out = got.mutable_view();
    SelectiveScan(ctx, args);
    EXPECT_LT(RmsError(got, Cast(part(want), DType::kF32)), 1e-6);
  }
  EXPECT_LT(RmsError(state, whole.final_state), 1e-6);
}

// Steps of all sizes: decays that underflow, and states that fade to denormals and to nothing.
TEST(SelectiveScan, ExtremeSteps) {
  ScanCase s{1, 300, 16, 16, 1};
  Direction in(s, 1);
  for (int64_t i = 0; i < in.u.shape().numel(); ++i) {
    in.delta.MutableData<float>()[i] *= i % 7 == 0 ? 1000 : 3;
    if (i > 16 * 40) in.u.MutableData<float>()[i] = 0;
  }
  SelectiveScanArgs args;
  args.forward = in.Args(true);
  Tensor want(in.u.shape(), DType::kF32);
  args.out = want.mutable_view();
  RunImplementation(SelectiveScanTable(), "ref", args);
  ForEachFast(SelectiveScanTable(), args, [&](std::string_view name) {
    ForEachTarget([&] {
      Tensor got(in.u.shape(), DType::kF32);
      args.out = got.mutable_view();
      RunImplementation(SelectiveScanTable(), name, args);
      EXPECT_LT(RmsError(got, want), 1e-5);
    });
  });
}

struct SsdCase {
  int64_t batch, length, heads, d_head, states, groups;
  bool parameters = true;  // a, d, dt_bias, softplus, states
  bool d_has_hdim = false;
  DType in = DType::kF32;
  DType out = DType::kF32;
  float spread = 1;  // of dt
};

struct SsdCall {
  Tensor x, dt, a, b, c, d, bias, initial, final_state, out;
  SsdArgs args;

  explicit SsdCall(const SsdCase& s)
      : x(RandomTensor({s.batch, s.length, s.heads, s.d_head}, 1, s.in)),
        dt(RandomTensor({s.batch, s.length, s.heads}, 2, s.in, s.spread)),
        a(Rates({s.heads})),
        b(RandomTensor({s.batch, s.length, s.groups, s.states}, 3, s.in)),
        c(RandomTensor({s.batch, s.length, s.groups, s.states}, 4, s.in)),
        d(RandomTensor(s.d_has_hdim ? Shape{s.heads, s.d_head} : Shape{s.heads}, 5)),
        bias(RandomTensor({s.heads}, 6)),
        initial(RandomTensor({s.batch, s.heads, s.d_head, s.states}, 7)),
        final_state(initial.shape(), DType::kF32),
        out(x.shape(), s.out) {
    args.x = x;
    args.b = b;
    args.c = c;
    args.final_state = final_state.mutable_view();
    args.out = out.mutable_view();
    if (s.parameters) {
      args.a = a;
      args.d = d;
      args.dt_bias = bias;
      args.dt_softplus = true;
      args.initial_state = initial;
    } else {
      dt = RandomTensor(dt.shape(), 2);
      for (int64_t i = 0; i < dt.shape().numel(); ++i) {
        dt.MutableData<float>()[i] = -std::abs(dt.Data<float>()[i]);
      }
    }
    args.dt = dt;
  }
};

class SsdTest : public testing::TestWithParam<SsdCase> {};

TEST_P(SsdTest, EqualsRef) {
  SsdCall call(GetParam());
  RunImplementation(SsdTable(), "ref", call.args);
  const Tensor want = Cast(call.out, GetParam().out);
  const Tensor want_state = Cast(call.final_state, DType::kF32);
  ForEachFast(SsdTable(), call.args, [&](std::string_view name) {
    ForEachTarget([&] {
      RunImplementation(SsdTable(), name, call.args);
      EXPECT_LT(RmsError(call.out, want), ToleranceOf(GetParam().out));
      EXPECT_LT(RmsError(call.final_state, want_state), 1e-5);
    });
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SsdTest,
    testing::Values(SsdCase{1, 1, 1, 1, 1, 1}, SsdCase{2, 19, 4, 16, 16, 1},
                    SsdCase{1, 70, 6, 8, 8, 2, true, true}, SsdCase{1, 130, 2, 64, 64, 1},
                    SsdCase{2, 65, 3, 33, 7, 3}, SsdCase{2, 40, 3, 20, 12, 1, false},
                    SsdCase{1, 200, 2, 40, 20, 1, true, false, DType::kF32, DType::kF32, 30},
                    SsdCase{1, 90, 4, 24, 16, 2, true, true, DType::kBF16, DType::kBF16},
                    SsdCase{1, 1000, 3, 10, 6, 1}));  // a GPU cuts it into chunks

TEST(Ssd, ContinuesASequence) {
  const SsdCase s{2, 150, 3, 16, 16, 1};
  SsdCall whole(s);
  Context ctx;
  Ssd(ctx, whole.args);
  Tensor state = Cast(whole.initial, DType::kF32);
  for (const auto& [begin, end] : {std::pair{0, 99}, std::pair{99, 100}, std::pair{100, 150}}) {
    const auto part = [&, begin = begin, end = end](ConstView x) { return x.Slice(1, begin, end); };
    SsdArgs args = whole.args;
    Tensor got({s.batch, end - begin, s.heads, s.d_head}, DType::kF32);
    args.x = part(whole.x);
    args.dt = part(whole.dt);
    args.b = part(whole.b);
    args.c = part(whole.c);
    args.initial_state = state;
    args.final_state = state.mutable_view();
    args.out = got.mutable_view();
    Ssd(ctx, args);
    EXPECT_LT(RmsError(got, Cast(part(whole.out), DType::kF32)), 1e-6);
  }
  EXPECT_LT(RmsError(state, whole.final_state), 1e-6);
}

TEST(ScanThreads, DoNotChangeTheResult) {
  const ScanCase s{2, 100, 200, 16, 1, true, true};
  Direction forward(s, 1);
  Direction backward(s, 11);
  SsdCall ssd(SsdCase{2, 100, 5, 24, 16, 1});
  std::vector<Tensor> results;
  const int before = NumThreads();
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    Tensor out(forward.u.shape(), DType::kF32);
    SelectiveScanArgs args;
    args.forward = forward.Args(true);
    args.backward = backward.Args(true);
    args.out = out.mutable_view();
    Context ctx;
    SelectiveScan(ctx, args);
    Ssd(ctx, ssd.args);
    results.push_back(out);
    results.push_back(Cast(ssd.out, DType::kF32));
  }
  SetNumThreads(before);
  for (size_t i = 2; i < results.size(); ++i) EXPECT_TRUE(SameBits(results[i % 2], results[i]));
}

TEST(ScanErrors, NameTheArgument) {
  const ScanCase s{1, 3, 6, 4, 2};
  Direction in(s, 1);
  Tensor out(in.u.shape(), DType::kF32);
  SelectiveScanArgs good;
  good.forward = in.Args(true);
  good.out = out.mutable_view();
  Context ctx;
  EXPECT_NO_THROW(SelectiveScan(ctx, good));
  const auto refuses = [&](const char* part, const SelectiveScanArgs& args) {
    ExpectError(ErrorKind::kShape, part, [&] { SelectiveScan(ctx, args); });
  };
  SelectiveScanArgs args = good;
  args.forward.u = {};
  refuses("u is missing", args);
  args = good;
  args.forward.a = in.d;
  refuses("a must be", args);
  args = good;
  args.forward.c = in.u;
  refuses("c must be", args);
  const Tensor five({1, 3, 5, 4}, DType::kF32);
  args.forward.b = five;
  refuses("a divisor of 6", args);
  args = good;
  args.z = in.d;
  refuses("z must be", args);
  SsdCall ssd(SsdCase{1, 3, 2, 4, 4, 1});
  ssd.args.initial_state = ssd.d;
  ExpectError(ErrorKind::kShape, "initial_state must be", [&] { Ssd(ctx, ssd.args); });
}

struct ConvCase {
  int64_t batch, length, channels, taps, kept;
  Activation activation = Activation::kNone;
  bool bias = true;
  bool state = true;
  bool reverse = false;
  DType in = DType::kF32;
  DType out = DType::kF32;
  int64_t aside = 2;  // channels of x's tokens before and after those of the convolution
};

class CausalConv1dTest : public testing::TestWithParam<ConvCase> {};

TEST_P(CausalConv1dTest, EqualsRef) {
  const ConvCase& s = GetParam();
  const Tensor wide = RandomTensor({s.batch, s.length, s.channels + 2 * s.aside}, 1, s.in);
  const Tensor weight = RandomTensor({s.channels, s.taps}, 2);
  const Tensor bias = RandomTensor({s.channels}, 3);
  const Tensor initial = RandomTensor({s.batch, s.channels, s.kept}, 4);
  Tensor final_state(initial.shape(), DType::kF32);
  Tensor out({s.batch, s.length, s.channels}, s.out);
  CausalConv1dArgs args;
  args.x = wide.view().Slice(2, s.aside, s.channels + s.aside);
  args.weight = weight;
  if (s.bias) args.bias = bias;
  if (s.state) args.initial_state = initial;
  args.activation = s.activation;
  args.reverse = s.reverse;
  args.final_state = final_state.mutable_view();
  args.out = out.mutable_view();
  RunImplementation(CausalConv1dTable(), "ref", args);
  const Tensor want = Cast(out, s.out);
  const Tensor want_state = Cast(final_state, DType::kF32);
  ForEachFast(CausalConv1dTable(), args, [&](std::string_view name) {
    ForEachTarget([&] {
      Tensor state = Cast(initial, DType::kF32);  // read and written in place
      if (s.state) args.initial_state = state;
      args.final_state = state.mutable_view();
      RunImplementation(CausalConv1dTable(), name, args);
      EXPECT_LT(RmsError(out, want), ToleranceOf(s.out));
      EXPECT_TRUE(SameBits(state, want_state));
    });
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CausalConv1dTest,
    testing::Values(ConvCase{1, 1, 1, 4, 4}, ConvCase{3, 5, 7, 3, 2, Activation::kNone, false},
                    ConvCase{2, 17, 12, 4, 3, Activation::kSilu},
                    ConvCase{2, 200, 130, 4, 4, Activation::kSilu, true, true, true},
                    ConvCase{1, 2, 70, 4, 4, Activation::kSilu, true, false},
                    ConvCase{1, 9, 33, 1, 1}, ConvCase{1, 4, 20, 7, 9, Activation::kSilu},
                    ConvCase{1, 66, 50, 2, 3, Activation::kSilu, true, true, false, DType::kBF16,
                             DType::kBF16},
                    ConvCase{2, 200, 136, 4, 4, Activation::kSilu, true, true, true, DType::kF32,
                             DType::kF32, 8},
                    ConvCase{2, 7, 24, 4, 3, Activation::kNone, false, false, false, DType::kBF16,
                             DType::kBF16, 8}));

TEST(CausalConv1dRef, HandComputed) {
  const std::array<float, 3> x = {1, 2, 3}, weight = {100, 10, 1};
  const std::array<float, 2> before = {8, 9};
  std::array<float, 3> y{};
  std::array<float, 2> last{};
  CausalConv1dArgs args;
  args.x = ConstView(x.data(), {1, 3, 1}, DType::kF32);
  args.weight = ConstView(weight.data(), {1, 3}, DType::kF32);
  args.initial_state = ConstView(before.data(), {1, 1, 2}, DType::kF32);
  args.final_state = View(last.data(), {1, 1, 2}, DType::kF32);
  args.out = View(y.data(), {1, 3, 1}, DType::kF32);
  RunImplementation(CausalConv1dTable(), "ref", args);
  EXPECT_THAT(y, testing::ElementsAre(891, 912, 123));
  EXPECT_THAT(last, testing::ElementsAre(2, 3));
  args.reverse = true;
  RunImplementation(CausalConv1dTable(), "ref", args);
  EXPECT_THAT(y, testing::ElementsAre(321, 932, 893));
  EXPECT_THAT(last, testing::ElementsAre(2, 1));
}

}  // namespace
}  // namespace gesso
