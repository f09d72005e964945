#include "kernels/cuda/scan.h"

#include <array>
#include <initializer_list>

#include "kernels/cuda/block_launch.cuh"
#include "kernels/cuda/device/causal_conv.cuh"
#include "kernels/cuda/device/scan.cuh"
#include "kernels/cuda/device/ssd.cuh"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/vector_launch.cuh"

namespace gesso::cuda {

namespace {

enum ScanScratch { kStates, kExponents, kPartial };
static_assert(kPartial < kScratchSlots);

float* ScratchFloats(int slot, int64_t count) {
  return static_cast<float*>(Scratch(slot, static_cast<size_t>(count) * sizeof(float)));
}

// What chunks of one or two scans at once hand on.
std::array<ScanCarry, 2> Carries(std::initializer_list<ScanShape> shapes,
                                 const ScanChunks& chunks) {
  std::array<int64_t, 3> states = {};
  std::array<int64_t, 3> exponents = {};
  size_t count = 0;
  for (const ScanShape& shape : shapes) {
    const int64_t ends = shape.pictures * chunks.count * shape.channels;
    exponents[count + 1] = exponents[count] + ends;
    states[count + 1] = states[count] + ends * shape.states;
    ++count;
  }
  float* const all_states = ScratchFloats(kStates, states[count]);
  float* const all_exponents = ScratchFloats(kExponents, exponents[count]);
  std::array<ScanCarry, 2> carries;
  for (size_t i = 0; i < count; ++i) {
    carries[i] = {all_states + states[i], all_exponents + exponents[i]};
  }
  return carries;
}

template <class Terms>
void MakeStarts(const Terms& terms, const ScanChunks& chunks, const ScanCarry& carry) {
  const ScanShape& shape = terms.shape;
  ForEach(shape.pictures * shape.channels * shape.states,
          ScanStartsElement<Terms>{terms, chunks, carry});
}

template <ScanType kType, bool kWrites>
void LaunchAs(const SelectiveScans& scans) {
  const ScanBlock<kType, kWrites> body{scans};
  constexpr int kThreads = kScanWarps * kWarp;
  ForEachBlock<kThreads, kScanBlocks>(body, kThreads, body.SharedBytes());
}

template <bool kWrites>
void Launch(const SelectiveScans& scans) {
  switch (scans.type()) {
    case ScanType::kF32:
      return LaunchAs<ScanType::kF32, kWrites>(scans);
    case ScanType::kBF16:
      return LaunchAs<ScanType::kBF16, kWrites>(scans);
    case ScanType::kMixed:
      return LaunchAs<ScanType::kMixed, kWrites>(scans);
  }
}

void Scan(SelectiveScans scans) {
  const ScanShape& shape = scans.terms[0].shape;
  scans.chunks =
      ChooseScanChunks(shape.length, scans.count * shape.pictures * shape.ChannelBlocks(),
                       kSelectiveCosts, Limits().multiprocessors);
  if (scans.chunks.count > 1) {
    const auto carries = scans.count == 1 ? Carries({shape}, scans.chunks)
                                          : Carries({shape, scans.terms[1].shape}, scans.chunks);
    for (int i = 0; i < scans.count; ++i) scans.carry[i] = carries[static_cast<size_t>(i)];
    Launch<false>(scans);
    for (int i = 0; i < scans.count; ++i) {
      MakeStarts(scans.terms[i], scans.chunks, scans.carry[i]);
    }
  }
  Launch<true>(scans);
}

template <class Products, int kWidth>
void ScanInTiles(const SsdTerms& terms) {
  using Tile = SsdTile<Products, kWidth>;
  constexpr int kThreads = Tile::kThreads;
  const ScanShape& shape = terms.shape;
  const auto resident = static_cast<int>(Limits().shared_bytes / Tile::kSharedBytes);
  const int64_t blocks = shape.pictures * terms.heads * Tile::PartsOf(terms.head_dim);
  const ScanChunks chunks = ChooseScanChunks(
      shape.length, blocks, SsdCosts(Tile::kTokens, resident), Limits().multiprocessors);
  ScanCarry carry;
  if (chunks.count > 1) {
    carry = Carries({shape}, chunks)[0];
    const SsdBlock<Products, kWidth, false> ends(terms, chunks, carry);
    ForEachBlock<kThreads, Tile::kBlocks>(ends, kThreads, ends.SharedBytes());
    MakeStarts(terms, chunks, carry);
  }
  const SsdBlock<Products, kWidth, true> body(terms, chunks, carry);
  ForEachBlock<kThreads, Tile::kBlocks>(body, kThreads, body.SharedBytes());
}

// body(products, width) with rows of 64, 128 or 256 states.
template <class Products, class Body>
auto AtSsdWidth(const SsdArgs& args, const Products& products, const Body& body) {
  using std::integral_constant;
  const int64_t states = args.b.shape[3];
  if (states <= 64) return body(products, integral_constant<int, 64>());
  if (states <= 128) return body(products, integral_constant<int, 128>());
  return body(products, integral_constant<int, static_cast<int>(kMostScanStates)>());
}

// Of a block.
template <class Products>
size_t SsdBytes(const SsdArgs& args) {
  return AtSsdWidth(args, Products(), [](const Products&, auto width) {
    return SsdTile<Products, decltype(width)::value>::kSharedBytes;
  });
}

// Whether tensor cores multiply in bfloat16: where all factors are, unless their larger tiles do
// not fit.
bool MultipliesSsdInBf16(const SsdArgs& args) {
  return args.x.dtype == DType::kBF16 && args.b.dtype == DType::kBF16 &&
         args.c.dtype == DType::kBF16 && SsdBytes<SsdBf16Products>(args) <= Limits().shared_bytes;
}

std::optional<std::string_view> WhyNotStates(int64_t states) {
  if (states > kMostScanStates) return "more than 256 states";
  return std::nullopt;
}

// Within a tile, places are counted in 32 bits.
std::optional<std::string_view> WhyNotTokens(std::initializer_list<ConstView> views) {
  constexpr int64_t kMostTokens = 64;  // of a tile
  for (const ConstView& view : views) {
    if (view.empty()) continue;
    const int64_t bytes = view.strides[1] * static_cast<int64_t>(SizeOf(view.dtype));
    if (bytes > INT32_MAX / kMostTokens) return "tokens too far apart";
  }
  return std::nullopt;
}

std::optional<std::string_view> WhyNotDirection(const ScanDirection& in) {
  if (in.u.empty()) return std::nullopt;
  if (const auto reason = WhyNotStates(in.a.shape[1])) return reason;
  if (ScanSharedBytes(in.a.shape[1]) > Limits().shared_bytes) {
    return "too little shared memory for a block";
  }
  if (const auto reason = WhyNotTokens({in.u, in.delta, in.b, in.c})) return reason;
  return WhyNotReachable(
      {in.u, in.delta, in.a, in.b, in.c, in.d, in.delta_bias, in.initial_state, in.final_state});
}

}  // namespace

std::optional<std::string_view> WhyNotSelectiveScan(const SelectiveScanArgs& args) {
  if (const auto reason = WhyNotDirection(args.forward)) return reason;
  if (const auto reason = WhyNotDirection(args.backward)) return reason;
  if (const auto reason = WhyNotTokens({args.z, args.out})) return reason;
  return WhyNotReachable({args.z, args.out});
}

void SelectiveScan(Context&, const SelectiveScanArgs& args) {
  if (args.forward.u.empty() || args.backward.u.empty()) {
    SelectiveScans scan;
    scan.terms[0] = SelectiveTerms(args, args.forward.u.empty());
    return Scan(scan);
  }
  // The sum of both must not be rounded before the gate.
  const bool in_place = args.out.dtype == DType::kF32;
  const int64_t numbers = args.out.numel();
  float* const backward = ScratchFloats(kPartial, (in_place ? 1 : 2) * numbers);
  float* const forward = in_place ? static_cast<float*>(args.out.data) : backward + numbers;
  Scan(BothScans(args, forward, backward));
  ForEachVector(numbers, ScanSumElement(args, forward, backward));
}

std::optional<std::string_view> WhyNotSsd(const SsdArgs& args) {
  if (const auto reason = WhyNotStates(args.b.shape[3])) return reason;
  if (!MultipliesSsdInBf16(args) && SsdBytes<SsdFloat32Products>(args) > Limits().shared_bytes) {
    return "too little shared memory for a block";
  }
  if (const auto reason = WhyNotTokens({args.x, args.b, args.c, args.out})) return reason;
  return WhyNotReachable({args.x, args.dt, args.a, args.b, args.c, args.d, args.dt_bias,
                          args.initial_state, args.final_state, args.out});
}

void Ssd(Context&, const SsdArgs& args) {
  const auto scan = [&](const auto& products, auto width) {
    ScanInTiles<std::decay_t<decltype(products)>, decltype(width)::value>(SsdTerms(args));
  };
  if (MultipliesSsdInBf16(args)) return AtSsdWidth(args, SsdBf16Products(), scan);
  AtSsdWidth(args, SsdFloat32Products(), scan);
}

std::optional<std::string_view> WhyNotCausalConv1d(const CausalConv1dArgs& args) {
  return WhyNotReachable(
      {args.x, args.weight, args.bias, args.initial_state, args.final_state, args.out});
}

void CausalConv1d(Context&, const CausalConv1dArgs& args) {
  const Shape& s = args.x.shape;
  ConvolveCausally(args, [](int64_t count, const auto& body) { ForEach(count, body); });
  if (!args.final_state.empty()) ForEach(s[0] * s[2], CausalConvState(args));
}

}  // namespace gesso::cuda
