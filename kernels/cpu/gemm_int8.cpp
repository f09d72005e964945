#include "kernels/cpu/gemm_int8.h"

#include <array>
#include <cstring>

#include "kernels/core/parallel.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/highway.h"
#include "kernels/cpu/low_bit.h"
#include "kernels/cpu/x86.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_int8.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/codes-inl.h"
#include "kernels/cpu/gemm_job-inl.h"
#include "kernels/cpu/int8_rows-inl.h"

// x[i, k] is about code[i, k] * scale[i]; an output is the sum of the products of codes, which is
// exact, times both scales.

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// sums = init + products * scales of row and panel, for a panel's row of sums of codes.
void Scale(const int32_t* products, const float* scales, float row_scale, const float* init,
           float* sums, int64_t count) {
  const auto by_row = hn::Set(F32(), row_scale);
  for (int64_t j = 0; j < count; j += kLanes) {
    const auto product = hn::ConvertTo(F32(), hn::LoadU(I32(), products + j));
    const auto scale = hn::Mul(by_row, Load(scales + j));
    Store(hn::MulAdd(product, scale, Load(init + j)), sums + j);
  }
}

float RowScale(Rows<const uint8_t> x, int64_t row) {
  float scale;
  std::memcpy(&scale, x.data + row * x.stride + x.stride - 64, sizeof(scale));
  return scale;
}

// What the three kernels (gemm_job-inl.h) have in common.
template <Codes kCodes>
struct Int8Kernel : PlainPanels<uint8_t> {
  using Input = std::conditional_t<kCodes == Codes::kPairs, int16_t, uint8_t>;
  static constexpr int64_t kWidth = kPanel;

  static int64_t PanelSize(int64_t depth) { return kHead + Padded(depth) * kPanel; }
  static const void* Prepare(const Job& job) { return CodedRows<kCodes>(job); }
  static Rows<const uint8_t> RowsOf(const Job& job, int64_t begin, int64_t /*end*/) {
    const int64_t stride = RowStride(job.depth, kCodes);
    return {static_cast<const uint8_t*>(job.prepared) + begin * stride, stride};
  }
};

// Codes of 4 bits times their group's factor, as those of 8 bits lie.
template <class Kernel>
struct QuadCodes : Kernel, DecodedPanels<QuadCodes<Kernel>, uint8_t> {
  using Weight = uint8_t;
  using DecodedPanels<QuadCodes<Kernel>, uint8_t>::kBlockBytes;
  using DecodedPanels<QuadCodes<Kernel>, uint8_t>::PanelsAt;

  static void Decode(const cpu::LowBitPanels& panels, int64_t panel, uint8_t* to) {
    using U8 = hn::Repartition<uint8_t, I32>;
    const hn::Repartition<uint16_t, I32> d16;
    const hn::Rebind<uint8_t, I32> d_quarter;
    const U8 d8;
    const uint8_t* const from = panels.Panel(panel);
    std::memcpy(to, from, kHead);
    to += kHead;
    const uint8_t* codes = from + panels.HeadBytes();
    const auto low_byte = hn::Set(d16, 0x00ff);
    const auto nibble = hn::Set(d8, 0x0f);
    // codes of some outputs in the low halves of `bytes`, their factors in each 16 bits
    const auto decode = [&](auto bytes, auto factor) HWY_ATTR {
      const auto codes16 = hn::BitCast(d16, hn::And(bytes, nibble));
      const auto even = hn::Mul(hn::And(codes16, low_byte), factor);
      const auto odd = hn::Mul(hn::ShiftRight<8>(codes16), factor);
      const auto both = hn::Or(hn::And(even, low_byte), hn::ShiftLeft<8>(odd));
      const auto eight = hn::ShiftLeft<3>(factor);
      return hn::Sub(hn::BitCast(d8, both),
                     hn::BitCast(d8, hn::Or(eight, hn::ShiftLeft<8>(eight))));
    };
    for (int64_t k = 0; k < panels.padded; k += kQuad, to += kRowBytes, codes += kRowBytes / 2) {
      const uint8_t* const factors = from + kHead + k / kLowBitGroup * kPanel;
      GESSO_UNROLL for (int64_t j = 0; j < kPanel / 2; j += kLanes) {
        const auto factor_of = [&](int64_t output) HWY_ATTR {
          const auto wide = hn::PromoteTo(I32(), hn::LoadU(d_quarter, factors + output));
          return hn::BitCast(d16, hn::Or(wide, hn::ShiftLeft<16>(wide)));
        };
        const auto bytes = hn::LoadU(d8, codes + j * kQuad);
        const auto high = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, bytes)));
        hn::StoreU(decode(bytes, factor_of(j)), d8, to + j * kQuad);
        hn::StoreU(decode(high, factor_of(j + kPanel / 2)), d8, to + (j + kPanel / 2) * kQuad);
      }
    }
  }
};

// kRows rows of x times a panel.
template <int kRows>
void MultiplyPairs(Rows<const uint8_t> x, const uint8_t* panel, int64_t padded,
                   Rows<const float> init, Rows<float> sums) {
  constexpr int kVectors = 2;
  const hn::Repartition<int16_t, I32> d16;
  const I32 d;
  using VecI = decltype(hn::Zero(d));
  const auto* const scales = reinterpret_cast<const float*>(panel);
  for (int64_t j = 0; j < kPanel; j += kVectors * kLanes) {
    VecI sum[kRows][kVectors];
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      GESSO_UNROLL for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::Zero(d);
    }
    const uint8_t* from = panel + kHead + j * kQuad;
    for (int64_t k = 0; k < padded; k += kQuad, from += kRowBytes) {
      decltype(hn::Zero(d16)) even[kVectors];
      decltype(hn::Zero(d16)) odd[kVectors];
      GESSO_UNROLL for (int v = 0; v < kVectors; ++v) {
        const auto codes = hn::BitCast(
            d16, hn::LoadU(I32(), reinterpret_cast<const int32_t*>(from + v * kLanes * kQuad)));
        even[v] = hn::ShiftRight<8>(hn::ShiftLeft<8>(codes));
        odd[v] = hn::ShiftRight<8>(codes);
      }
      GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
        std::array<int32_t, 2> pair;
        std::memcpy(pair.data(), x.data + i * x.stride + 2 * k, sizeof(pair));
        const auto first = hn::BitCast(d16, hn::Set(d, pair[0]));
        const auto second = hn::BitCast(d16, hn::Set(d, pair[1]));
        GESSO_UNROLL for (int v = 0; v < kVectors; ++v) {
          VecI unused = hn::Zero(d);
          sum[i][v] = hn::ReorderWidenMulAccumulate(d, even[v], first, sum[i][v], unused);
          sum[i][v] = hn::ReorderWidenMulAccumulate(d, odd[v], second, sum[i][v], unused);
        }
      }
    }
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      alignas(64) int32_t products[kVectors * kLanes];
      GESSO_UNROLL for (int v = 0; v < kVectors; ++v)
          hn::Store(sum[i][v], d, products + v * kLanes);
      Scale(products, scales + j, RowScale(x, i), init.At(i, j).data, sums.At(i, j).data,
            kVectors * kLanes);
    }
  }
}

using MultiplyFunction = void (*)(Rows<const uint8_t>, const uint8_t*, int64_t, Rows<const float>,
                                  Rows<float>);

// Kernels whose kByRows<n> multiplies n rows of x, up to Kernel::kMaxRows, by one panel.
template <class Kernel, Codes kCodes>
struct PanelKernel : Int8Kernel<kCodes> {
  using Base = Int8Kernel<kCodes>;

  static void Multiply(int64_t rows, Rows<const uint8_t> x, PanelRun<uint8_t> weights,
                       Rows<const float> init, Rows<float> sums) {
    static constexpr auto kRows = []<size_t... kIndex>(std::index_sequence<kIndex...>) {
      return std::array<MultiplyFunction, sizeof...(kIndex)>{
          Kernel::template kByRows<static_cast<int>(kIndex) + 1>...};
    }
    (std::make_index_sequence<static_cast<size_t>(Kernel::kMaxRows)>());
    const uint8_t* panel = weights.first;
    for (int64_t p = 0; p < weights.count; ++p, panel += Base::PanelSize(weights.depth)) {
      kRows[static_cast<size_t>(rows - 1)](x, panel, Padded(weights.depth),
                                           init.At(0, p * Base::kWidth),
                                           sums.At(0, p * Base::kWidth));
    }
  }
};

struct PairsKernel : PanelKernel<PairsKernel, Codes::kPairs> {
  static constexpr int64_t kMaxRows = kLanes == 16 ? 10 : 4;
  template <int kRows>
  static constexpr MultiplyFunction kByRows = MultiplyPairs<kRows>;
};

template <class Kernel>
void RunBits(const LinearArgs& args) {
  const auto& panels = static_cast<const cpu::LowBitPanels&>(args.weight->storage());
  panels.type == LowBit::kW8A8 ? RunLinear<Kernel>(args) : RunLinear<QuadCodes<Kernel>>(args);
}
template <class Kernel>
void RunGluBits(const LinearGluArgs& args) {
  const auto& panels = static_cast<const cpu::LowBitPanels&>(args.weight->storage());
  panels.type == LowBit::kW8A8 ? RunLinearGlu<Kernel>(args) : RunLinearGlu<QuadCodes<Kernel>>(args);
}

void RunInt8(const LinearArgs& args) { RunBits<PairsKernel>(args); }
void RunGluInt8(const LinearGluArgs& args) { RunGluBits<PairsKernel>(args); }

#if HWY_TARGET == HWY_AVX3

template <int kRows>
GESSO_VNNI void MultiplyVnni(Rows<const uint8_t> x, const uint8_t* panel, int64_t padded,
                             Rows<const float> init, Rows<float> sums) {
  __m512i sum[kRows][2];
  const auto* const head = reinterpret_cast<const __m512i*>(panel + 4 * kPanel);
  // Each code of x is 128 too large.
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    sum[i][0] = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_loadu_si512(head));
    sum[i][1] = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_loadu_si512(head + 1));
  }
  const uint8_t* from = panel + kHead;
  for (int64_t k = 0; k < padded; k += kQuad, from += kRowBytes) {
    const __m512i left = _mm512_loadu_si512(from);
    const __m512i right = _mm512_loadu_si512(from + kRowBytes / 2);
    GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
      int32_t quad;
      std::memcpy(&quad, x.data + i * x.stride + k, sizeof(quad));
      const __m512i value = _mm512_set1_epi32(quad);
      sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], value, left);
      sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], value, right);
    }
  }
  GESSO_UNROLL for (int i = 0; i < kRows; ++i) {
    alignas(64) int32_t products[kPanel];
    _mm512_store_si512(products, sum[i][0]);
    _mm512_store_si512(products + kPanel / 2, sum[i][1]);
    Scale(products, reinterpret_cast<const float*>(panel), RowScale(x, i), init.At(i, 0).data,
          sums.At(i, 0).data, kPanel);
  }
}

struct VnniKernel : PanelKernel<VnniKernel, Codes::kUnsigned> {
  static constexpr int64_t kMaxRows = 14;
  template <int kRows>
  static constexpr MultiplyFunction kByRows = MultiplyVnni<kRows>;
};

// One panel times up to 16 rows of x; products [16, kPanel].
GESSO_AMX_INT8 void TilesUpTo16(Rows<const uint8_t> x, const uint8_t* codes, int64_t padded,
                                bool fresh, int32_t* products) {
  constexpr int64_t kStep = cpu::kInt8Order.depth;
  GESSO_BARRIER();
  _tile_zero(0);
  _tile_zero(1);
  for (int64_t k = 0; k < padded; k += kStep, codes += kStep * kPanel) {
    if (fresh) cpu::PrefetchWeights<kStep * kPanel>(codes);
    _tile_loadd(4, x.data + k, x.stride);
    _tile_loadd(6, codes, kRowBytes);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, codes + kRowBytes / 2, kRowBytes);
    _tile_dpbssd(1, 4, 7);
  }
  _tile_stored(0, products, kPanel * 4);
  _tile_stored(1, products + kPanel / 2, kPanel * 4);
  GESSO_BARRIER();
}

// One panel times 17 to 32 rows of x; products [32, kPanel].
GESSO_AMX_INT8 void TilesUpTo32(Rows<const uint8_t> x, const uint8_t* codes, int64_t padded,
                                bool fresh, int32_t* products) {
  constexpr int64_t kStep = cpu::kInt8Order.depth;
  const uint8_t* const lower = x.data + 16 * x.stride;
  int32_t* const lower_products = products + 16 * kPanel;
  GESSO_BARRIER();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < padded; k += kStep, codes += kStep * kPanel) {
    if (fresh) cpu::PrefetchWeights<kStep * kPanel>(codes);
    _tile_loadd(4, x.data + k, x.stride);
    _tile_loadd(6, codes, kRowBytes);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, codes + kRowBytes / 2, kRowBytes);
    _tile_dpbssd(1, 4, 7);
    _tile_loadd(5, lower + k, x.stride);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_stored(0, products, kPanel * 4);
  _tile_stored(1, products + kPanel / 2, kPanel * 4);
  _tile_stored(2, lower_products, kPanel * 4);
  _tile_stored(3, lower_products + kPanel / 2, kPanel * 4);
  GESSO_BARRIER();
}

struct Int8AmxKernel : Int8Kernel<Codes::kSigned> {
  static constexpr int64_t kMaxRows = 32;

  GESSO_AMX_INT8 static void Multiply(int64_t rows, Rows<const uint8_t> x,
                                      PanelRun<uint8_t> weights, Rows<const float> init,
                                      Rows<float> sums) {
    alignas(64) int32_t products[kMaxRows * kPanel];
    const cpu::TileConfig config = cpu::ConfigFor(rows);
    _tile_loadconfig(&config);
    const auto multiply = rows > 16 ? TilesUpTo32 : TilesUpTo16;
    const uint8_t* panel = weights.first;
    for (int64_t p = 0; p < weights.count; ++p, panel += PanelSize(weights.depth)) {
      multiply(x, panel + kHead, Padded(weights.depth), weights.fresh, products);
      ScaleRows(products, reinterpret_cast<const float*>(panel), x, rows, init.At(0, p * kWidth),
                sums.At(0, p * kWidth));
    }
    // Registers in use would cost every switch between threads.
    _tile_release();
  }

 private:
  static void ScaleRows(const int32_t* products, const float* scales, Rows<const uint8_t> x,
                        int64_t rows, Rows<const float> init, Rows<float> sums) {
    for (int64_t i = 0; i < rows; ++i) {
      Scale(products + i * kPanel, scales, RowScale(x, i), init.At(i, 0).data, sums.At(i, 0).data,
            kPanel);
    }
  }
};

void RunInt8Amx(const LinearArgs& args) { RunBits<Int8AmxKernel>(args); }
void RunGluInt8Amx(const LinearGluArgs& args) { RunGluBits<Int8AmxKernel>(args); }
void RunInt8Vnni(const LinearArgs& args) { RunBits<VnniKernel>(args); }
void RunGluInt8Vnni(const LinearGluArgs& args) { RunGluBits<VnniKernel>(args); }

#else  // CPUs without AVX-512 are refused below

void RunInt8Amx(const LinearArgs&) { CHECK(false); }
void RunGluInt8Amx(const LinearGluArgs&) { CHECK(false); }
void RunInt8Vnni(const LinearArgs&) { CHECK(false); }
void RunGluInt8Vnni(const LinearGluArgs&) { CHECK(false); }

#endif

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace gesso::cpu {

HWY_EXPORT(RunInt8);
HWY_EXPORT(RunGluInt8);
HWY_EXPORT(RunInt8Amx);
HWY_EXPORT(RunGluInt8Amx);
HWY_EXPORT(RunInt8Vnni);
HWY_EXPORT(RunGluInt8Vnni);

std::optional<std::string_view> WhyNotInt8(const PackedMatrix& weight) {
  if (weight.encoding() != PackedMatrix::Encoding::kIntegers) {
    return "the weights are packed for other products";
  }
  return WhyNoVectors();
}

std::optional<std::string_view> WhyNotInt8Amx(const PackedMatrix& weight) {
  if (const auto reason = WhyNotInt8(weight)) return reason;
  if (!HasAmxInt8()) return "this CPU or operating system lacks AMX";
  return std::nullopt;
}

std::optional<std::string_view> WhyNotInt8Vnni(const PackedMatrix& weight) {
  if (const auto reason = WhyNotInt8(weight)) return reason;
  if (!HasAvx512Vnni()) return "this CPU lacks AVX512-VNNI";
  return std::nullopt;
}

void LinearInt8Amx(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(RunInt8Amx)(args); }
void LinearGluInt8Amx(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunGluInt8Amx)(args);
}
void LinearInt8Vnni(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(RunInt8Vnni)(args); }
void LinearGluInt8Vnni(Context&, const LinearGluArgs& args) {
  HWY_DYNAMIC_DISPATCH(RunGluInt8Vnni)(args);
}
void LinearInt8(Context&, const LinearArgs& args) { HWY_DYNAMIC_DISPATCH(RunInt8)(args); }
void LinearGluInt8(Context&, const LinearGluArgs& args) { HWY_DYNAMIC_DISPATCH(RunGluInt8)(args); }

}  // namespace gesso::cpu

#endif  // HWY_ONCE
