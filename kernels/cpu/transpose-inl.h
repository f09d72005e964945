// Transposing f32 rows in registers; included once a Highway target, like math-inl.h.
#if defined(GESSO_KERNELS_CPU_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GESSO_KERNELS_CPU_TRANSPOSE_INL_H_
#undef GESSO_KERNELS_CPU_TRANSPOSE_INL_H_
#else
#define GESSO_KERNELS_CPU_TRANSPOSE_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gesso::HWY_NAMESPACE {

// Vectors of Lanes(F32) made of 128-bit blocks: block i holds four elements of row 4 i.
HWY_INLINE VecF LoadBlocks(const float* from, int64_t stride) {
  const F32 d;
  const hn::CappedTag<float, 4> block;
  const auto at = [&](int64_t i) HWY_ATTR { return hn::LoadU(block, from + 4 * i * stride); };
#if HWY_TARGET == HWY_AVX3
  const hn::Half<F32> half;
  return hn::Combine(d, hn::Combine(half, at(3), at(2)), hn::Combine(half, at(1), at(0)));
#else
  return hn::Combine(d, at(1), at(0));
#endif
}

// Calls put(column, c) with the column c of Lanes(F32) rows, for `columns` rounded up to a multiple
// of 4. Bits stay as they are, so that an element may be a pair of bf16 as well.
template <class Put>
HWY_INLINE void TransposeColumns(const float* from, int64_t stride, int64_t columns,
                                 const Put& put) {
  const F32 d;
  for (int64_t c = 0; c < columns; c += 4) {
    const auto r0 = LoadBlocks(from + c, stride);
    const auto r1 = LoadBlocks(from + stride + c, stride);
    const auto r2 = LoadBlocks(from + 2 * stride + c, stride);
    const auto r3 = LoadBlocks(from + 3 * stride + c, stride);
    const auto even_low = hn::InterleaveLower(d, r0, r2);
    const auto even_high = hn::InterleaveUpper(d, r0, r2);
    const auto odd_low = hn::InterleaveLower(d, r1, r3);
    const auto odd_high = hn::InterleaveUpper(d, r1, r3);
    put(hn::InterleaveLower(d, even_low, odd_low), c);
    put(hn::InterleaveUpper(d, even_low, odd_low), c + 1);
    put(hn::InterleaveLower(d, even_high, odd_high), c + 2);
    put(hn::InterleaveUpper(d, even_high, odd_high), c + 3);
  }
}

// to[c * to_stride + r] = factor * from[r * stride + c] for Lanes(F32) rows r and `columns` columns
// c; columns is rounded up to a multiple of 4 in what is read and written.
HWY_INLINE void TransposeRows(const float* from, int64_t stride, int64_t columns, float factor,
                              float* to, int64_t to_stride) {
  const auto times = hn::Set(F32(), factor);
  TransposeColumns(from, stride, columns, [&](VecF column, int64_t c) HWY_ATTR {
    Store(hn::Mul(times, column), to + c * to_stride);
  });
}

// Asks for the elements of a row to be brought to the L2 cache.
template <class T>
HWY_INLINE void PrefetchRow(const T* from, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(from + i, 0, 2);
}

// `count` elements times `factor` as f32, zeros up to `padded`.
template <class T>
HWY_INLINE void CopyRow(const T* from, int64_t count, float factor, int64_t padded, float* to) {
  const int64_t lanes = LanesF();
  const auto times = hn::Set(F32(), factor);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) Store(hn::Mul(times, Load(from + i)), to + i);
  for (; i < count; ++i) to[i] = static_cast<float>(from[i]) * factor;
  for (; i < padded; ++i) to[i] = 0;
}

// Transposes Lanes(F32) rows, of which those from `count` on are zeros; `buffer` holds Lanes(F32)
// rows of `columns` rounded up to whole vectors.
template <class T>
HWY_INLINE void TransposeTokens(const T* from, int64_t stride, int64_t count, int64_t columns,
                                float factor, float* buffer, float* to, int64_t to_stride) {
  const int64_t lanes = LanesF();
  if constexpr (std::is_same_v<T, float>) {
    if (count >= lanes && columns % 4 == 0) {
      TransposeRows(from, stride, columns, factor, to, to_stride);
      return;
    }
  }
  const int64_t width = (columns + lanes - 1) / lanes * lanes;
  for (int64_t i = 0; i < lanes; ++i) {
    float* row = buffer + i * width;
    if (i < count) {
      CopyRow(from + i * stride, columns, 1, width, row);
    } else {
      std::fill_n(row, width, 0.0f);
    }
  }
  TransposeRows(buffer, width, columns, factor, to, to_stride);
}

}  // namespace gesso::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GESSO_KERNELS_CPU_TRANSPOSE_INL_H_
