// Products in bfloat16 by AMX's tiles with panels as BF16Panels has them (bf16_panels.h): what
// those with weights and attention share. Included once a Highway target.

// The guard flips with each target that foreach_target.h compiles; #pragma once would not.
#if defined(GESSO_KERNELS_CPU_TILES_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_TILES_BF16_INL_H_
#undef GESSO_KERNELS_CPU_TILES_BF16_INL_H_
#else
#define GESSO_KERNELS_CPU_TILES_BF16_INL_H_
#endif

#include "kernels/cpu/amx.h"
#include "kernels/cpu/bf16_panels.h"
#include "kernels/cpu/gemm_job-inl.h"

#if HWY_TARGET == HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

constexpr int64_t kTileColumns = 16;
constexpr int64_t kTileRows = 32;                          // of x, at most
constexpr int64_t kWeightBytes = cpu::kPairWidth * 2 * 2;  // from pair to pair

// One panel times up to 16 rows of x.
GESSO_AMX inline void MultiplyUpTo16(Rows<const BFloat16> x, const BFloat16* panel, int64_t depth,
                                     bool fresh, Rows<const float> init, Rows<float> sums) {
  GESSO_BARRIER();
  const int64_t init_bytes = init.stride * 4;
  if (init.data == nullptr) {
    _tile_zero(0);
    _tile_zero(1);
  } else {
    _tile_loadd(0, init.data, init_bytes);
    _tile_loadd(1, init.data + kTileColumns, init_bytes);
  }
  for (int64_t k = 0; k < depth; k += cpu::kPairDepth, panel += cpu::kTileWeights) {
    if (fresh) cpu::PrefetchWeights<2 * cpu::kTileWeights>(panel);
    _tile_loadd(4, x.data + k, x.stride * 2);
    _tile_loadd(6, panel, kWeightBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, panel + 2 * kTileColumns, kWeightBytes);
    _tile_dpbf16ps(1, 4, 7);
  }
  _tile_stored(0, sums.data, sums.stride * 4);
  _tile_stored(1, sums.data + kTileColumns, sums.stride * 4);
  GESSO_BARRIER();
}

// One panel times 17 to 32 rows of x.
GESSO_AMX inline void MultiplyUpTo32(Rows<const BFloat16> x, const BFloat16* panel, int64_t depth,
                                     bool fresh, Rows<const float> init, Rows<float> sums) {
  GESSO_BARRIER();
  const int64_t init_bytes = init.stride * 4;
  const int64_t x_bytes = x.stride * 2;
  const BFloat16* lower_x = x.data + 16 * x.stride;
  float* lower_sums = sums.data + 16 * sums.stride;
  if (init.data == nullptr) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    const float* lower_init = init.data + 16 * init.stride;
    _tile_loadd(0, init.data, init_bytes);
    _tile_loadd(1, init.data + kTileColumns, init_bytes);
    _tile_loadd(2, lower_init, init_bytes);
    _tile_loadd(3, lower_init + kTileColumns, init_bytes);
  }
  for (int64_t k = 0; k < depth; k += cpu::kPairDepth, panel += cpu::kTileWeights) {
    if (fresh) cpu::PrefetchWeights<2 * cpu::kTileWeights>(panel);
    _tile_loadd(4, x.data + k, x_bytes);
    _tile_loadd(6, panel, kWeightBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, panel + 2 * kTileColumns, kWeightBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, lower_x + k, x_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums.data, sums.stride * 4);
  _tile_stored(1, sums.data + kTileColumns, sums.stride * 4);
  _tile_stored(2, lower_sums, sums.stride * 4);
  _tile_stored(3, lower_sums + kTileColumns, sums.stride * 4);
  GESSO_BARRIER();
}

// sums[i, j] = init[i, j] + sum_k x[i, k] * panels[j, k] for up to kTileRows rows, which go on with
// zeros up to the padded depth. init may be sums; without data it is zeros.
GESSO_AMX inline void MultiplyTiles(int64_t rows, Rows<const BFloat16> x, PanelRun<BFloat16> panels,
                                    Rows<const float> init, Rows<float> sums) {
  const cpu::TileConfig config = cpu::ConfigFor(rows);
  _tile_loadconfig(&config);
  const auto multiply = rows > 16 ? MultiplyUpTo32 : MultiplyUpTo16;
  const BFloat16* panel = panels.first;
  const int64_t size = cpu::PaddedDepth(panels.depth) * cpu::kPairWidth;
  for (int64_t p = 0; p < panels.count; ++p, panel += size) {
    const int64_t column = p * cpu::kPairWidth;
    multiply(x, panel, panels.depth, panels.fresh, init.data == nullptr ? init : init.At(0, column),
             sums.At(0, column));
  }
  // Registers in use would cost every switch between threads.
  _tile_release();
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HWY_AVX3

#endif  // GESSO_KERNELS_CPU_TILES_BF16_INL_H_
