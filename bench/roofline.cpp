#include "bench/roofline.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/core/tensor.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/roofline.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// Twelve chains of `steps` multiply-adds; returns the operations done. Named one by one: an array
// might not stay in registers. They begin at different values, or the compiler would merge them.
double MultiplyAdd(int64_t steps, float start, float* sink) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999f);
  const auto term = hn::Set(d, start);
  auto a = hn::Set(d, start * 1);
  auto b = hn::Set(d, start * 2);
  auto c = hn::Set(d, start * 3);
  auto e = hn::Set(d, start * 4);
  auto f = hn::Set(d, start * 5);
  auto g = hn::Set(d, start * 6);
  auto h = hn::Set(d, start * 7);
  auto i = hn::Set(d, start * 8);
  auto j = hn::Set(d, start * 9);
  auto k = hn::Set(d, start * 10);
  auto l = hn::Set(d, start * 11);
  auto m = hn::Set(d, start * 12);
  for (int64_t step = 0; step < steps; ++step) {
    a = hn::MulAdd(a, factor, term);
    b = hn::MulAdd(b, factor, term);
    c = hn::MulAdd(c, factor, term);
    e = hn::MulAdd(e, factor, term);
    f = hn::MulAdd(f, factor, term);
    g = hn::MulAdd(g, factor, term);
    h = hn::MulAdd(h, factor, term);
    i = hn::MulAdd(i, factor, term);
    j = hn::MulAdd(j, factor, term);
    k = hn::MulAdd(k, factor, term);
    l = hn::MulAdd(l, factor, term);
    m = hn::MulAdd(m, factor, term);
  }
  const auto sum = hn::Add(
      hn::Add(hn::Add(a, b), hn::Add(c, e)),
      hn::Add(hn::Add(hn::Add(f, g), hn::Add(h, i)), hn::Add(hn::Add(j, k), hn::Add(l, m))));
  *sink = hn::GetLane(sum);
  return 2.0 * 12.0 * static_cast<double>(steps) * static_cast<double>(hn::Lanes(d));
}

// Eight chains of what one state of a selective scan needs for a token, from numbers in registers;
// returns the number of states times tokens.
double ScanSteps(int64_t steps, float start, float* sink) {
  const F32 d;
  const auto factor = hn::Set(d, 0.999f);
  const auto term = hn::Set(d, start);
  VecF x[8];
  VecF h[8];
  VecF y[8];
  GESSO_UNROLL for (int i = 0; i < 8; ++i) {
    x[i] = h[i] = y[i] = hn::Set(d, start * static_cast<float>(i + 1));
  }
  for (int64_t step = 0; step < steps; ++step) {
    GESSO_UNROLL for (int i = 0; i < 8; ++i) {
      x[i] = hn::MulAdd(x[i], factor, term);
      h[i] = hn::MulAdd(Exp2(x[i]), h[i], term);
      y[i] = hn::MulAdd(h[i], factor, y[i]);
      y[i] = hn::MulAdd(y[i], factor, term);
    }
  }
  auto sum = hn::Zero(d);
  for (const auto& value : y) sum = hn::Add(sum, value);
  *sink = hn::GetLane(sum);
  return 8.0 * static_cast<double>(steps) * static_cast<double>(hn::Lanes(d));
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::bench {

HWY_EXPORT(MultiplyAdd);
HWY_EXPORT(ScanSteps);

namespace {

// The shortest of the runs that fit into half a second, at least three.
template <class Body>
double BestSeconds(const Body& body) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  double best = 1e30;
  for (int run = 0; run < 3 || Clock::now() - start < std::chrono::milliseconds(500); ++run) {
    const auto begin = Clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

// work(steps, start, sink) per second, on all threads.
template <class Work>
double RegisterPeak(const Work& work) {
  constexpr int64_t kSteps = 2'000'000;
  const int64_t threads = NumThreads();
  std::vector<float> sinks(static_cast<size_t>(threads * 16));
  double operations = 0;
  const double seconds = BestSeconds([&] {
    ParallelFor(threads, [&](int64_t thread) {
      const double done = work(kSteps, -1e-3f, &sinks[static_cast<size_t>(thread * 16)]);
      if (thread == 0) operations = done * static_cast<double>(threads);
    });
  });
  return operations / seconds;
}

double FmaPeak() {
  return RegisterPeak([](int64_t steps, float start, float* sink) {
    return HWY_DYNAMIC_DISPATCH(MultiplyAdd)(steps, start, sink);
  });
}

double ScanPeak() {
  return RegisterPeak([](int64_t steps, float start, float* sink) {
    return HWY_DYNAMIC_DISPATCH(ScanSteps)(steps / 4, start, sink);
  });
}

double GemmPeak(DType dtype) {
  constexpr int64_t kSide = 2048;
  const auto product = OneDnnProduct::Make(kSide, kSide, kSide, dtype);
  if (product == nullptr) return 0;
  return 2.0 * kSide * kSide * kSide / BestSeconds([&] { product->Run(); });
}

double CopyPeak() {
  constexpr int64_t kBytes = 256 << 20;
  constexpr int64_t kGrain = 1 << 20;
  Tensor from({kBytes}, DType::kU8);
  Tensor to({kBytes}, DType::kU8);
  std::memset(from.MutableData<uint8_t>(), 1, kBytes);
  const double seconds = BestSeconds([&] {
    ParallelRange(kBytes, kGrain, [&](int64_t begin, int64_t end) {
      std::memcpy(to.MutableData<uint8_t>() + begin, from.Data<uint8_t>() + begin,
                  static_cast<size_t>(end - begin));
    });
  });
  return 2.0 * static_cast<double>(kBytes) / seconds;
}

class Matmul final : public OneDnnProduct {
 public:
  Matmul(const dnnl::engine& engine, const dnnl::matmul::primitive_desc& description)
      : stream_(engine),
        primitive_(description),
        arguments_{{DNNL_ARG_SRC, dnnl::memory(description.src_desc(), engine)},
                   {DNNL_ARG_WEIGHTS, dnnl::memory(description.weights_desc(), engine)},
                   {DNNL_ARG_DST, dnnl::memory(description.dst_desc(), engine)}} {
    for (auto& [name, memory] : arguments_) {
      std::memset(memory.get_data_handle(), 0, memory.get_desc().get_size());
    }
  }
  void Run() override {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

}  // namespace

std::unique_ptr<OneDnnProduct> OneDnnProduct::Make(int64_t m, int64_t n, int64_t k, DType dtype) {
  using dnnl::memory;
  const auto type = dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::desc src({m, k}, type, memory::format_tag::ab);
  const memory::desc weights({k, n}, type, memory::format_tag::any);
  const memory::desc dst({m, n}, memory::data_type::f32, memory::format_tag::ab);
  try {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc description(engine, src, weights, dst);
#else
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(src, weights, dst), engine);
#endif
    return std::make_unique<Matmul>(engine, description);
  } catch (const dnnl::error&) {
    return nullptr;
  }
}

const Peaks& MeasuredPeaks() {
  static const Peaks peaks = {.fma_flops = FmaPeak(),
                              .gemm_flops = GemmPeak(DType::kF32),
                              .gemm_bf16_flops = GemmPeak(DType::kBF16),
                              .scan_steps = ScanPeak(),
                              .copy_bytes = CopyPeak()};
  return peaks;
}

}  // namespace gesso::bench

#endif  // HWY_ONCE
