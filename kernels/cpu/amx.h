// AMX's tile registers: what products in bfloat16 and in integers share. Both keep the sums of up
// to 16 rows in tiles 0 and 1, of up to 16 more in 2 and 3, x in 4 and 5, weights in 6 and 7.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>

// Functions with instructions beyond those of Highway's target, inside of its namespace. In clang a
// function's targets replace those around it, so Highway's are named as well.
#define GESSO_AMX __attribute__((noinline, target(HWY_TARGET_STR ",amx-tile,amx-bf16")))
#define GESSO_AMX_INT8 __attribute__((noinline, target(HWY_TARGET_STR ",amx-tile,amx-int8")))
#define GESSO_AVX512_BF16 __attribute__((target(HWY_TARGET_STR ",avx512bf16")))
#define GESSO_VNNI __attribute__((target(HWY_TARGET_STR ",avx512vnni")))

// Tile instructions take distances in bytes; the compiler does not know that they touch memory.
#define GESSO_BARRIER() __asm__ volatile("" ::: "memory")

namespace gesso::cpu {

// Shapes of the eight tile registers, as ldtilecfg reads them.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  std::array<uint8_t, 14> reserved = {};
  std::array<uint16_t, 16> row_bytes = {};
  std::array<uint8_t, 16> rows = {};
};
static_assert(sizeof(TileConfig) == 64);

// For 1 to 32 rows of x.
inline TileConfig ConfigFor(int64_t rows) {
  TileConfig config;
  for (const size_t tile : {0U, 1U, 4U}) {
    config.rows[tile] = static_cast<uint8_t>(std::min<int64_t>(rows, 16));
  }
  for (const size_t tile : {2U, 3U, 5U}) {
    config.rows[tile] = static_cast<uint8_t>(std::max<int64_t>(rows - 16, 1));
  }
  for (const size_t tile : {6U, 7U}) config.rows[tile] = 16;
  std::fill_n(config.row_bytes.begin(), 8, uint16_t{64});
  return config;
}

// Asks for the `bytes` bytes of weights that are read kWeightsAhead bytes after `weights`. Small
// products stream theirs from memory, where what the CPU fetches by itself ends with every page.
template <int64_t bytes>
[[gnu::always_inline]] inline void PrefetchWeights(const void* weights) {
  constexpr int64_t kWeightsAhead = 8 << 10;
  constexpr int64_t kLine = 64;
  const char* ahead = static_cast<const char*>(weights) + kWeightsAhead;
#pragma GCC unroll 64
  for (int64_t at = 0; at < bytes; at += kLine) _mm_prefetch(ahead + at, _MM_HINT_T1);
}

}  // namespace gesso::cpu
